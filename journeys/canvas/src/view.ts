// What steps and ways are called on the screen, and what became of them.

import { START } from "./graph";
import { edgeId } from "./layout";
import { get, kindOf, type State } from "./store";
import type { Counts, Problem, Trial } from "./types";
import { named, t } from "./words";

/** A step by the name it was given, else by its kind; the start by what starts it. */
export function labelOf(state: State, id: string): string {
  if (id === START) return startOf(state) || state.look.trigger?.title || state.palette.triggers.find((each) => each.kind === state.graph.trigger.kind)?.title || t("start");
  const step = state.graph.nodes[id];
  return named(step?.name, kindOf(state.palette, step)?.title ?? id);
}

/** Every step to choose from; those called the same are told apart by their sentences. */
export function choicesOf(state: State): [string, string][] {
  const labels = Object.keys(state.graph.nodes).map((id) => [id, labelOf(state, id)] as const);
  const called = new Map<string, number>();
  for (const [, label] of labels) called.set(label, (called.get(label) ?? 0) + 1);
  return labels.map(([id, label]) => [id, called.get(label)! > 1 && summaryOf(state, id) ? t("step_way", { step: label, way: summaryOf(state, id) }) : label]);
}

/** The event that starts it, in words. */
function startOf(state: State): string {
  const event = state.graph.trigger.settings?.event;
  return typeof event === "string" && event ? (state.palette.lists.event?.find((each) => each.value === event)?.label ?? event) : "";
}

export function summaryOf(state: State, id: string): string {
  return (id === START ? state.look.trigger?.summary : state.look.nodes[id]?.summary) ?? "";
}

export function iconOf(state: State, id: string): string {
  if (id !== START) return kindOf(state.palette, state.graph.nodes[id])?.icon ?? "help-octagon";
  return state.palette.triggers.find((each) => each.kind === state.graph.trigger.kind)?.icon || "bolt";
}

/** What a problem says: at its field without the field's name, elsewhere with the name people know it by. */
export function wordsFor(state: State, problem: Problem, atField = false): string {
  const { field, text } = problem;
  if (!field || !text.startsWith(`${field}: `)) return text;
  const said = text.slice(field.length + 2);
  if (atField) return said;
  const id = placeOf(problem);
  const schema = id === START ? state.palette.triggers.find((each) => each.kind === state.graph.trigger.kind)?.schema : kindOf(state.palette, state.graph.nodes[id ?? ""])?.schema;
  const title = (schema ?? state.palette.journey).properties?.[field.split(".")[0]!]?.title ?? field;
  return `${title}: ${said}`;
}

/** The problems of one step; the server calls the start `trigger`. */
export function problemsOf(state: State, id: string): Problem[] {
  return state.look.problems.filter((each) => each.node !== null && placeOf(each) === id);
}

export const placeOf = (problem: Problem): string | null => (problem.node === "trigger" && !get().graph.nodes.trigger ? START : problem.node);

/** How many stand at a step, or began. */
export function hereOf(counts: Counts | null, id: string): number {
  return counts ? (id === START ? counts.started : (counts.nodes[id] ?? 0)) : 0;
}

/** How many went through a step. */
export function throughOf(counts: Counts | null, id: string): number {
  let all = 0;
  if (!counts) return all;
  for (const [edge, count] of Object.entries(counts.edges)) if (edge.startsWith(`${id}/`)) all += count;
  return all;
}

/** The steps and ways a trial went through up to a time. */
export function pathOf(trial: Trial | null, until: string): { nodes: ReadonlySet<string>; edges: ReadonlySet<string> } {
  const nodes = new Set<string>();
  const edges = new Set<string>();
  for (const line of trial?.timeline ?? []) {
    if (Date.parse(line.at) > Date.parse(until)) continue;
    if (line.kind === "start") {
      nodes.add(START);
      edges.add(edgeId({ node: START, way: "" }));
    }
    if (line.node) nodes.add(line.node);
    if (line.node && line.exit) edges.add(edgeId({ node: line.node, way: line.exit }));
  }
  return { nodes, edges };
}
