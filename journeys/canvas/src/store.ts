// The one state of the page: the drawing with its history, what is chosen, what the server said of it.

import { useSyncExternalStore } from "react";
import { START, add, connect, follow, openEnds, paste, remove, targetOf, withStep, type Place } from "./graph";
import type { Counts, Draft, Drawing, Kind, Layout, Look, Palette, Settings, Step, Theirs, Trial, Way } from "./types";

interface Shot {
  graph: Drawing;
  layout: Layout;
}

export interface State extends Shot {
  palette: Palette;
  status: string;
  version: number | null;
  revision: number;
  savedAt: string | null;
  saving: "saved" | "waiting" | "saving" | "failed" | "conflict";
  trouble: string; // why it could not be saved, until it is
  theirs: Theirs | null;
  look: Look;
  selected: string[];
  place: Place | null; // the way out that is chosen: new steps go there
  form: boolean; // whether the settings are open
  counts: Counts | null;
  lived: Counts | null; // of a backtest, shown instead of those of life until the drawing changes
  trial: Trial | null;
  clock: string; // how far the trial is told
  past: Shot[];
  future: Shot[];
  said: string; // for the live region
  refused: string; // why the last thing asked for was not done, for all to see
}

let state: State;
const listeners = new Set<() => void>();

export const get = () => state;

export function set(change: Partial<State>): void {
  state = { ...state, ...change };
  listeners.forEach((call) => call());
}

export function subscribe(call: () => void): () => void {
  listeners.add(call);
  return () => listeners.delete(call);
}

/** A part of the state; the component draws itself again only when that part changed. */
export function use<T>(pick: (state: State) => T): T {
  return useSyncExternalStore(subscribe, () => pick(state));
}

export function begin(draft: Draft, palette: Palette): void {
  state = {
    palette,
    graph: draft.graph,
    layout: draft.layout,
    status: draft.status,
    version: draft.version,
    revision: draft.revision,
    savedAt: draft.saved_at,
    saving: "saved",
    trouble: "",
    theirs: null,
    look: draft.look,
    selected: [],
    place: null,
    form: false,
    counts: null,
    lived: null,
    trial: null,
    clock: "",
    past: [],
    future: [],
    said: "",
    refused: "",
  };
}

const KEPT = 200; // steps back
let merging = "";

/** Make a change that can be undone. Changes with the same `as`, one after the other, are one step back. */
export function change(graph: Drawing, layout: Layout = state.layout, more: Partial<State> = {}, as = ""): void {
  const grouped = as !== "" && as === merging;
  merging = as;
  const past = grouped ? state.past : [...state.past.slice(-KEPT), { graph: state.graph, layout: state.layout }];
  set({ graph, layout: only(layout, graph), past, future: [], trial: null, lived: null, saving: pending(), refused: "", ...more });
}

export function undo(): void {
  const before = state.past.at(-1);
  if (!before) return;
  merging = "";
  const future = [{ graph: state.graph, layout: state.layout }, ...state.future];
  set({ ...before, past: state.past.slice(0, -1), future, trial: null, lived: null, saving: pending(), ...stillThere(before.graph) });
}

export function redo(): void {
  const [after, ...future] = state.future;
  if (!after) return;
  merging = "";
  set({ ...after, past: [...state.past, { graph: state.graph, layout: state.layout }], future, trial: null, lived: null, saving: pending(), ...stillThere(after.graph) });
}

/** Take over a drawing from elsewhere (what somebody else saved); it can be undone. */
export function replace(shot: Shot, more: Partial<State>): void {
  merging = "";
  const past = [...state.past, { graph: state.graph, layout: state.layout }];
  set({ graph: shot.graph, layout: shot.layout, past, future: [], trial: null, lived: null, ...stillThere(shot.graph), ...more });
}

const pending = (): State["saving"] => (state.saving === "conflict" ? "conflict" : "waiting");

function stillThere(graph: Drawing): Partial<State> {
  return { selected: state.selected.filter((id) => id === START || graph.nodes[id]), place: null };
}

function only(layout: Layout, graph: Drawing): Layout {
  const kept = Object.entries(layout).filter(([id]) => id === START || graph.nodes[id]);
  return kept.length === Object.keys(layout).length ? layout : Object.fromEntries(kept);
}

/** The ways out of a step: as the server last said, else as its kind has them at first. */
export function waysOf(look: Look, palette: Palette, graph: Drawing): (node: string) => Way[] {
  return (node) => look.nodes[node]?.exits ?? kindOf(palette, graph.nodes[node])?.exits ?? asDrawn(graph.nodes[node]);
}

/** A step of a kind that is not known here keeps the ways it was drawn with. */
const asDrawn = (step: Step | undefined): Way[] => Object.keys(step?.exits ?? {}).map((name) => ({ name, label: name }));

export const ways = (node: string): Way[] => waysOf(state.look, state.palette, state.graph)(node);

export function kindOf(palette: Palette, step: Step | undefined): Kind | undefined {
  return step && palette.nodes.find((each) => each.kind === step.kind);
}

/** Where a new step goes: the chosen way, else the chosen step's first open way (or its first), else any open end. */
export function placeForNew(): Place | null {
  if (state.place) return state.place;
  const node = state.selected.at(-1);
  if (node === START) return { node, way: "" };
  if (node) {
    const out = ways(node);
    const free = out.find((way) => !targetOf(state.graph, { node, way: way.name })) ?? out[0];
    if (free) return { node, way: free.name };
  }
  return openEnds(state.graph, ways)[0] ?? null;
}

export function addStep(kind: Kind, place: Place | null, at?: [number, number]): string {
  const [graph, id] = add(state.graph, kind, place);
  const layout = at ? { ...state.layout, [id]: at } : state.layout;
  const look = { ...state.look, nodes: { ...state.look.nodes, [id]: { exits: kind.exits ?? [] } } };
  change(graph, layout, { selected: [id], place: null, form: true, look });
  return id;
}

export function removeChosen(): number {
  if (state.place) {
    const { place } = state;
    if (targetOf(state.graph, place)) change(connect(state.graph, place, undefined), state.layout, { place });
    return 0;
  }
  const gone = new Set(state.selected.filter((id) => id !== START));
  if (!gone.size) return 0;
  change(remove(state.graph, gone, ways), state.layout, { selected: [], form: false });
  return gone.size;
}

const BUFFER = "kesher.copied"; // kept by the browser, so that it can be put into another journey
const MOST = 200; // steps of a journey
let copied = "{}"; // where the browser keeps nothing

export function copyChosen(): number {
  const chosen = state.selected.filter((id) => state.graph.nodes[id]);
  if (!chosen.length) return 0;
  copied = JSON.stringify(Object.fromEntries(chosen.map((id) => [id, state.graph.nodes[id]!])));
  try {
    localStorage.setItem(BUFFER, copied);
  } catch {
    // it stays within this journey
  }
  return chosen.length;
}

function inBuffer(): Record<string, Step> {
  try {
    return JSON.parse(localStorage.getItem(BUFFER) ?? copied) as Record<string, Step>;
  } catch {
    return JSON.parse(copied) as Record<string, Step>;
  }
}

/** Why what was copied cannot be put here: a key of the page's words, with what fills it. */
export interface Misfit {
  why: string;
  slots: Record<string, string | number>;
}

function misfit(steps: Record<string, Step>): Misfit | null {
  const many = Object.keys(steps).length;
  const there = Object.keys(state.graph.nodes).length;
  const strange = Object.values(steps).find((step) => (step.schema ?? 1) > (kindOf(state.palette, step)?.settings_schema ?? 0));
  if (!many) return { why: "paste_nothing", slots: {} };
  if (strange) return { why: "paste_strange", slots: { kind: strange.kind } };
  return many + there > MOST ? { why: "paste_many", slots: { most: MOST, there, n: many } } : null;
}

/** How many steps were put in, else why they do not fit. */
export function pasteCopied(): number | Misfit {
  const before = state.selected.at(-1);
  const steps = inBuffer();
  const refused = misfit(steps);
  if (refused) return refused;
  const [graph, ids] = paste(state.graph, steps);
  const place = before ? placeForNew() : null;
  const joined = place && !targetOf(graph, place) ? connect(graph, place, ids[0]) : graph;
  change(joined, state.layout, { selected: ids, place: null });
  return ids.length;
}

export function setSettings(node: string, settings: Settings, field: string): void {
  const { graph } = state;
  const as = `${node}.${field}`;
  if (node === START) change({ ...graph, trigger: { ...graph.trigger, settings } }, state.layout, {}, as);
  else change(withStep(graph, node, { ...graph.nodes[node]!, settings }), state.layout, {}, as);
}

/** What the server says of the drawing; where a step's ways changed, what they led to follows them. */
export function hear(said: Look, more: Partial<State>): void {
  let { graph } = state;
  const kept = Object.entries(state.look.nodes).filter(([id]) => graph.nodes[id]);
  const look = { ...said, nodes: { ...Object.fromEntries(kept.map(([id, { exits }]) => [id, { exits }])), ...said.nodes } }; // a step half set keeps its ways
  for (const [id, { exits }] of Object.entries(look.nodes)) {
    const step = graph.nodes[id];
    if (!step?.exits || !said.nodes[id] || Object.keys(step.exits).every((way) => exits.some((each) => each.name === way))) continue;
    if (exits.length) graph = withStep(graph, id, follow(step, ways(id), exits));
  }
  const moved = graph !== state.graph;
  set({ look, graph, ...more, ...(moved ? { saving: pending() } : {}) });
}
