// Where everything stands: dagre lays out what nobody moved by hand, and leads the ways round.

import dagre from "@dagrejs/dagre";
import { START, edges, openEnds, type Place, type Ways } from "./graph";
import type { Drawing, Layout } from "./types";

export const WIDE = 256;
export const TALL = 56;
export const DOT = 28; // the + at an open end
const GAP = 26; // px between a row of steps and the words of their ways
const PORT = ">"; // where a way that goes round leaves its step
const MANY = 1000; // rows passed by all ways together that take dagre under half a second; each thousand more takes as long again
const LONG = 12; // rows
export type Point = { x: number; y: number };

export interface Arranged {
  at: Map<string, Point>; // middle of the upper edge, counted from the start side
  ways: Map<string, { bends: Point[]; label: Point }>; // by edgeId, only where neither end was moved by hand
}

export const edgeId = (place: Place) => `${place.node}:${place.way}`;
export const openId = (place: Place) => `+${edgeId(place)}`;
const portId = (place: Place) => `${PORT}${edgeId(place)}`;

/** Where everything stands while nobody moves it, in px from the start side and the top; asks only how the steps hang together. */
export function layOut(drawing: Drawing, ways: Ways, labelled: (place: Place) => number): Arranged {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 36, edgesep: 20, ranksep: 2 * GAP, marginx: 24, marginy: 24 });
  graph.setDefaultEdgeLabel(() => ({}));
  graph.setNode(START, { width: WIDE, height: TALL });
  for (const id of Object.keys(drawing.nodes)) graph.setNode(id, { width: WIDE, height: TALL });
  const all = [
    ...edges(drawing, ways).map((edge) => ({ ...edge, id: edgeId(edge) })),
    ...openEnds(drawing, ways).map((place) => ({ ...place, target: openId(place), id: edgeId(place) })),
  ];
  const round = goingRound(all);
  for (const edge of all) {
    if (edge.target.startsWith("+")) graph.setNode(edge.target, { width: Math.max(DOT, labelled(edge)), height: DOT });
    if (round.has(edge.id)) {
      graph.setNode(portId(edge), { width: Math.max(DOT, labelled(edge)), height: 22 });
      graph.setEdge(edge.node, portId(edge), {}, edge.id);
    } else graph.setEdge(edge.node, edge.target, { width: labelled(edge), height: 22, labelpos: "c" }, edge.id);
  }
  dagre.layout(graph, { disableOptimalOrderHeuristic: isTree(all.map((edge) => edge.target)) });
  const at = new Map<string, Point>();
  for (const id of graph.nodes()) {
    const { x, y, height } = graph.node(id);
    if (!id.startsWith(PORT)) at.set(id, { x: x!, y: y! - height / 2 });
  }
  const led: Arranged["ways"] = new Map();
  const lanes = new Map([...new Set(all.filter((edge) => round.has(edge.id)).map((edge) => edge.target))].map((target, index) => [target, graph.graph().width! + 14 * index]));
  for (const edge of all) {
    if (round.has(edge.id)) {
      const { x, y } = graph.node(portId(edge));
      const [lane, end] = [lanes.get(edge.target)!, at.get(edge.target)!.y];
      led.set(edge.id, { bends: [{ x: x!, y: y! }, { x: lane, y: y! + TALL + GAP }, { x: lane, y: end - GAP }], label: { x: x!, y: y! } });
      continue;
    }
    const drawn = graph.edge({ v: edge.node, w: edge.target, name: edge.id });
    const points = drawn.points!;
    // dagre places only words that take room; a number alone stands in the middle of its way
    const label = labelled(edge) ? { x: drawn.x!, y: drawn.y! } : points[Math.floor(points.length / 2)]!;
    led.set(edge.id, { bends: points.slice(1, -1), label });
  }
  return { at, ways: led };
}

/** Where the ways pass so many rows that nobody would wait for their drawing, the long ones down: each goes round, beside everything. */
function goingRound(all: { node: string; target: string; id: string }[]): Set<string> {
  const out = new Map<string, typeof all>();
  for (const way of all) out.set(way.node, [...(out.get(way.node) ?? []), way]);
  const seen = new Set<string>();
  const done: string[] = [];
  const back = new Set<string>();
  const visit = (name: string, path: Set<string>) => {
    for (const { target, id } of out.get(name) ?? []) {
      if (path.has(target)) back.add(id);
      else if (!seen.has(target)) visit(target, new Set(path).add(target));
    }
    done.push(name);
    seen.add(name);
  };
  for (const name of out.keys()) if (!seen.has(name)) visit(name, new Set([name]));
  const row = new Map<string, number>();
  const rowOf = (name: string) => row.get(name) ?? 0;
  const down = (name: string) => (out.get(name) ?? []).filter((way) => !back.has(way.id));
  for (const name of done.reverse()) for (const { target } of down(name)) row.set(target, Math.max(rowOf(target), rowOf(name) + 1));
  const passed = (way: { node: string; target: string }) => Math.abs(rowOf(way.target) - rowOf(way.node));
  if (all.reduce((sum, way) => sum + passed(way), 0) <= MANY) return new Set();
  return new Set(all.filter((way) => !back.has(way.id) && passed(way) > LONG).map((way) => way.id));
}

/** The same with what was moved by hand where it was put; ways from and to it find their own line. */
export function moved(laid: Arranged, drawing: Drawing, ways: Ways, byHand: Layout): Arranged {
  if (!Object.keys(byHand).length) return laid;
  const at = new Map(laid.at);
  for (const [id, [x, y]] of Object.entries(byHand)) if (at.has(id)) at.set(id, { x, y });
  for (const place of openEnds(drawing, ways)) if (byHand[place.node]) at.set(openId(place), beneath(at.get(place.node)!, place, ways));
  const led = new Map(laid.ways);
  for (const edge of edges(drawing, ways)) if (byHand[edge.node] || byHand[edge.target]) led.delete(edgeId(edge));
  for (const place of openEnds(drawing, ways)) if (byHand[place.node]) led.delete(edgeId(place));
  return { at, ways: led };
}

/** Down, across, down, through every bend, with round corners: an SVG path. */
export function path(from: Point, to: Point, bends: Point[], radius = 10): string {
  const stops = [from, ...bends, to];
  const corners: Point[] = [from];
  for (let i = 1; i < stops.length; i++) {
    const [a, b] = [stops[i - 1]!, stops[i]!];
    if (Math.abs(a.x - b.x) < 0.5) continue;
    const turn = (a.y + b.y) / 2;
    corners.push({ x: a.x, y: turn }, { x: b.x, y: turn });
  }
  corners.push(to);
  return rounded(corners, radius);
}

function rounded(points: Point[], radius: number): string {
  let drawn = `M${points[0]!.x} ${points[0]!.y}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [before, here, after] = [points[i - 1]!, points[i]!, points[i + 1]!];
    const r = Math.min(radius, distance(before, here) / 2, distance(here, after) / 2);
    const enter = towards(here, before, r);
    const leave = towards(here, after, r);
    drawn += ` L${enter.x} ${enter.y} Q${here.x} ${here.y} ${leave.x} ${leave.y}`;
  }
  const end = points[points.length - 1]!;
  return `${drawn} L${end.x} ${end.y}`;
}

const distance = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);

function towards(from: Point, to: Point, by: number): Point {
  const far = distance(from, to) || 1;
  return { x: from.x + ((to.x - from.x) * by) / far, y: from.y + ((to.y - from.y) * by) / far };
}

/** Where branches never meet again, the order of the exits may be kept as it is. */
function isTree(targets: string[]): boolean {
  return new Set(targets).size === targets.length;
}

function beneath(node: Point, place: Place, ways: Ways): Point {
  const out = place.node === START ? [] : ways(place.node);
  const index = Math.max(0, out.findIndex((way) => way.name === place.way));
  return { x: node.x + (index - (Math.max(1, out.length) - 1) / 2) * 110, y: node.y + TALL + 64 };
}
