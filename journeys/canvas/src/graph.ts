// What can be done to a drawing. Every function returns a new one; nothing here knows the screen.

import type { Drawing, Kind, Step, Way } from "./types";

export const START = "@start"; // the trigger on the canvas; no step may be called so
export type Ways = (node: string) => Way[];

export interface Place {
  node: string;
  way: string;
}

export interface Edge extends Place {
  target: string;
}

/** Every way that leads somewhere, the start's first, in the order of the exits. */
export function edges(drawing: Drawing, ways: Ways): Edge[] {
  const found: Edge[] = drawing.nodes[drawing.entry] ? [{ node: START, way: "", target: drawing.entry }] : [];
  for (const [node, step] of Object.entries(drawing.nodes)) {
    for (const way of ordered(step, ways(node))) {
      const target = step.exits?.[way];
      if (target && drawing.nodes[target]) found.push({ node, way, target });
    }
  }
  return found;
}

/** Every way that leads nowhere yet. */
export function openEnds(drawing: Drawing, ways: Ways): Place[] {
  const found: Place[] = drawing.nodes[drawing.entry] ? [] : [{ node: START, way: "" }];
  for (const [node, step] of Object.entries(drawing.nodes)) {
    for (const { name } of ways(node)) if (!drawing.nodes[step.exits?.[name] ?? ""]) found.push({ node, way: name });
  }
  return found;
}

export function targetOf(drawing: Drawing, place: Place): string | undefined {
  const target = place.node === START ? drawing.entry : drawing.nodes[place.node]?.exits?.[place.way];
  return target && drawing.nodes[target] ? target : undefined;
}

/** Lead a way to a step, or nowhere. */
export function connect(drawing: Drawing, place: Place, target: string | undefined): Drawing {
  if (place.node === START) return { ...drawing, entry: target ?? "" };
  const step = drawing.nodes[place.node];
  if (!step) return drawing;
  const exits = { ...step.exits };
  if (target) exits[place.way] = target;
  else delete exits[place.way];
  return withStep(drawing, place.node, { ...step, exits });
}

/** A new step of this kind; where a place is given it stands there, and what came after comes after it. */
export function add(drawing: Drawing, kind: Kind, place: Place | null): [Drawing, string] {
  const id = freeId(drawing, kind.kind);
  const after = place && targetOf(drawing, place);
  const first = kind.exits[0]?.name;
  const numbered = kind.settings_schema > 1 ? { schema: kind.settings_schema } : {};
  const step: Step = { kind: kind.kind, ...numbered, settings: structuredClone(kind.settings), exits: after && first ? { [first]: after } : {} };
  const grown = withStep(drawing, id, step);
  return [place ? connect(grown, place, id) : grown, id];
}

/** Take steps away; the ways that led to one lead on to where its first way went. */
export function remove(drawing: Drawing, gone: ReadonlySet<string>, ways: Ways): Drawing {
  const next = (id: string, seen: Set<string> = new Set()): string | undefined => {
    if (!gone.has(id)) return id;
    if (seen.has(id)) return undefined;
    const step = drawing.nodes[id];
    const first = step && ordered(step, ways(id)).find((way) => step.exits?.[way]);
    return first ? next(step.exits![first]!, seen.add(id)) : undefined;
  };
  const nodes: Record<string, Step> = {};
  for (const [id, step] of Object.entries(drawing.nodes)) {
    if (gone.has(id)) continue;
    const exits: Record<string, string> = {};
    for (const [way, target] of Object.entries(step.exits ?? {})) {
      const led = next(target);
      if (led && (led === target || led !== id)) exits[way] = led;
    }
    nodes[id] = { ...step, exits };
  }
  return { ...drawing, nodes, entry: next(drawing.entry) ?? "" };
}

/** Copies of steps with the ways between them; ways out of the set are left open. Returns the new ids too. */
export function paste(drawing: Drawing, copied: Record<string, Step>): [Drawing, string[]] {
  let grown = drawing;
  const renamed = new Map<string, string>();
  for (const [id, step] of Object.entries(copied)) {
    const fresh = freeId(grown, step.kind);
    renamed.set(id, fresh);
    grown = withStep(grown, fresh, structuredClone(step));
  }
  for (const id of renamed.values()) {
    const step = grown.nodes[id]!;
    const kept = Object.entries(step.exits ?? {}).flatMap(([way, to]) => (renamed.has(to) ? [[way, renamed.get(to)!] as const] : []));
    grown = withStep(grown, id, { ...step, exits: Object.fromEntries(kept) });
  }
  return [grown, [...renamed.values()]];
}

/** When the ways of a step change (a branch renamed, a wait that now may time out), what they led to follows by position. */
export function follow(step: Step, before: Way[], after: Way[]): Step {
  const now = new Set(after.map((way) => way.name));
  const exits: Record<string, string> = {};
  const moved: [number, string][] = [];
  for (const [way, target] of Object.entries(step.exits ?? {})) {
    if (now.has(way)) exits[way] = target;
    else moved.push([before.findIndex((each) => each.name === way), target]);
  }
  for (const [index, target] of moved) {
    const here = after[index]?.name;
    if (here && !before.some((each) => each.name === here) && !exits[here]) exits[here] = target;
  }
  return { ...step, exits };
}

export function withStep(drawing: Drawing, id: string, step: Step): Drawing {
  return { ...drawing, nodes: { ...drawing.nodes, [id]: step } };
}

export interface Told {
  id: string;
  way: string;
  depth: number;
  again: boolean;
  open: boolean;
  from: Place | null;
}

/** Steps in the order a reader meets them, with depth and the way that led there; those no way leads to come last. */
export function told(drawing: Drawing, ways: Ways): Told[] {
  const lines: Told[] = [];
  const met = new Set<string>();
  const tell = (id: string, way: string, depth: number, from: Place | null) => {
    lines.push({ id, way, depth, again: met.has(id), open: false, from });
    if (met.has(id)) return;
    met.add(id);
    const step = drawing.nodes[id]!;
    const out = ways(id);
    for (const { name, label } of out) {
      const target = step.exits?.[name];
      const inner = depth + (out.length > 1 ? 1 : 0);
      if (target && drawing.nodes[target]) tell(target, label, inner, { node: id, way: name });
      else lines.push({ id, way: name, depth: inner, again: false, open: true, from: null });
    }
  };
  if (drawing.nodes[drawing.entry]) tell(drawing.entry, "", 0, null);
  for (const id of Object.keys(drawing.nodes)) if (!met.has(id)) tell(id, "", 0, null);
  return lines;
}

function ordered(step: Step, ways: Way[]): string[] {
  const known = ways.map((way) => way.name);
  return [...known, ...Object.keys(step.exits ?? {}).filter((way) => !known.includes(way))];
}

function freeId(drawing: Drawing, kind: string): string {
  for (let number = 1; ; number++) {
    const id = number === 1 ? kind : `${kind}_${number}`;
    if (!drawing.nodes[id]) return id;
  }
}
