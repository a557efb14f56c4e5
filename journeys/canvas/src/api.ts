// Talking to the server: JSON both ways, the form token on what changes something.

import { START } from "./graph";
import type { Choice, Draft, Kind, Layout, Look, Palette, Problem, Schema, Way } from "./types";
import { page, t } from "./words";

/** An answer that is not 2xx, with what the server said. */
export class Refused extends Error {
  constructor(readonly status: number, readonly said: Record<string, unknown>) {
    super(typeof said.error === "string" ? said.error : String(status));
  }
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

export async function ask<T>(method: Method, path: string, body?: unknown): Promise<T> {
  let answer = await send(method, path, body);
  if (answer.status === 400 && !isJson(answer)) {
    page.csrf = await freshToken(); // the page's own is void once somebody signed out, also where they signed in again in another window
    answer = await send(method, path, body);
  }
  if (answer.redirected) throw signedOut();
  const said = isJson(answer) ? await answer.json() : {};
  if (!answer.ok) throw new Refused(answer.status, said);
  return said as T;
}

const isJson = (answer: Response) => answer.headers.get("Content-Type")?.includes("json") ?? false;
const signedOut = () => new Refused(401, { error: t("signed_out") });

function send(method: Method, path: string, body: unknown): Promise<Response> {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": page.csrf };
  return fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/** The form token of who is signed in now, as this page would have it if it were loaded again. */
async function freshToken(): Promise<string> {
  const answer = await fetch(own("edit"));
  if (answer.redirected) throw signedOut();
  const again = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("designer-page");
  return again ? JSON.parse(again.textContent!).csrf : page.csrf;
}

export const own = (tail: string) => `/journeys/${encodeURIComponent(page.slug)}/${tail}`;

interface Judged {
  problems: Problem[];
  nodes: Record<string, { summary: string; title: string; exits?: Record<string, string> }>;
}

/** What the server says of a drawing, with the ways of each step in their order. */
export function lookOf(said: Judged): Look {
  const nodes: Look["nodes"] = {};
  for (const [id, { summary, exits }] of Object.entries(said.nodes)) {
    if (exits) nodes[id] = { summary, exits: Object.entries(exits).map(([name, label]): Way => ({ name, label })) };
  }
  return { nodes, problems: said.problems, trigger: said.nodes.trigger?.exits ? null : said.nodes.trigger };
}

/** The draft as stored; the start is `trigger` in a stored layout. */
export async function loadDraft(): Promise<Draft> {
  const said = await ask<Omit<Draft, "look"> & Judged>("GET", own("draft"));
  return { ...said, layout: placed(said.layout), look: lookOf(said) };
}

export function placed(stored: Layout): Layout {
  const { trigger, ...rest } = stored;
  return trigger ? { ...rest, [START]: trigger } : rest;
}

export function stored(layout: Layout): Layout {
  const { [START]: trigger, ...rest } = layout;
  return trigger ? { ...rest, trigger } : rest;
}

interface Suggested {
  events: { name: string; title: string }[];
  templates: { name: string; title: string }[];
  channels: { name: string; title: string }[];
  segments: { name: string; title: string }[];
  traits: string[];
  journeys: { name: string; title: string }[];
  endpoints: string[];
  lists: { name: string; title: string }[];
  rrules: { name: string; title: string }[];
  pools: string[];
}

/** Everything that can be drawn. */
export async function loadPalette(): Promise<Palette> {
  const said = await ask<{ nodes: Kind[]; triggers: Kind[]; graph: Record<"reentry" | "limit" | "holdout" | "exit", Schema>; suggest: Suggested }>("GET", "/journeys/palette");
  const { suggest, graph } = said;
  const titled = (all: { name: string; title: string }[]): Choice[] => all.map((each) => ({ value: each.name, label: each.title }));
  const plain = (all: string[]): Choice[] => all.map((each) => ({ value: each, label: each }));
  return {
    nodes: said.nodes,
    triggers: said.triggers.map((each) => ({ ...each, settings: each.settings ?? {} })),
    journey: journeySchema(graph),
    lists: {
      event: titled(suggest.events),
      segment: titled(suggest.segments),
      template: titled(suggest.templates),
      channel: titled(suggest.channels),
      trait: plain(suggest.traits),
      journey: titled(suggest.journeys),
      endpoint: plain(suggest.endpoints),
      list: titled(suggest.lists),
      rrule: titled(suggest.rrules),
      pool: plain(suggest.pools),
    },
  };
}

/** One form of what a journey says as a whole. */
function journeySchema({ exit, reentry, limit, holdout }: Record<"reentry" | "limit" | "holdout" | "exit", Schema>): Schema {
  return {
    $defs: { ...exit.$defs, ...reentry.$defs, ...limit.$defs, ...holdout.$defs },
    properties: {
      exit_on: { type: "array", title: t("ends_with"), description: t("ends_with_help"), items: exit, maxItems: 20 },
      reentry: { anyOf: [reentry, { type: "null" }], title: t("entry_rule"), description: "" },
      limit: { anyOf: [limit, { type: "null" }], title: t("entry_limit"), description: "" },
      holdout: { anyOf: [holdout, { type: "null" }], title: t("holdout"), description: "" },
    },
  };
}
