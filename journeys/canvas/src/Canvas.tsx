// The drawing: React Flow shows it, every change goes through the store.

import { ReactFlow, ReactFlowProvider, applyNodeChanges, useReactFlow, useViewport, type Connection, type Edge, type Node, type NodeChange } from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef, useState, type DragEvent } from "react";
import { IconButton } from "./Icon";
import { OpenEnd, StepNode, type StepData } from "./StepNode";
import { WayEdge, type WayData } from "./WayEdge";
import { START, connect, edges as allEdges, openEnds, targetOf, type Place } from "./graph";
import { onCanvasKey } from "./keys";
import { DOT, TALL, WIDE, edgeId, layOut, moved, openId, type Arranged, type Point } from "./layout";
import { addStep, change, get, set, use, waysOf } from "./store";
import { labelOf, pathOf } from "./view";
import { num, page, t } from "./words";

const nodeTypes = { step: StepNode, open: OpenEnd };
const edgeTypes = { way: WayEdge };
const SAID = Object.fromEntries(["node.a11yDescription.default", "node.a11yDescription.keyboardDisabled", "edge.a11yDescription.default"].map((key) => [key, t("canvas")]));
const STEP = { "aria-roledescription": t("step_role") };
const WAY = { "aria-roledescription": t("way_role") };
const FIT = { padding: 0.12, maxZoom: 1, minZoom: 0.45 };

export function Canvas() {
  return (
    <ReactFlowProvider>
      <Flow />
    </ReactFlowProvider>
  );
}

const sideways = (x: number) => (page.rtl ? -x : x); // branches mirror, the rest does not

function Flow() {
  const graph = use((s) => s.graph);
  const layout = use((s) => s.layout);
  const look = use((s) => s.look);
  const palette = use((s) => s.palette);
  const selected = use((s) => s.selected);
  const place = use((s) => s.place);
  const trial = use((s) => s.trial);
  const clock = use((s) => s.clock);
  const flow = useReactFlow();
  const ways = useMemo(() => waysOf(look, palette, graph), [look, palette, graph]);
  const words = useCallback((each: Place) => ways(each.node).find((way) => way.name === each.way)?.label ?? "", [ways]);
  const shape = JSON.stringify([graph.entry, Object.entries(graph.nodes).map(([id, step]) => [id, step.exits, ways(id)])]);
  const laid = useMemo(() => layOut(graph, ways, (each) => (words(each) ? words(each).length * 7 + 52 : 0)), [shape]); // 100 ms at 200 steps: not where one is dropped
  const stand = useMemo(() => moved(laid, graph, ways, layout), [laid, layout]);
  const trail = useMemo(() => pathOf(trial, clock), [trial, clock]);

  const drawnNodes = useMemo(() => toNodes(graph, stand, ways, selected, trail.nodes), [stand, selected, trail, graph]);
  const kept = useRef<Edge[]>([]);
  const drawnEdges = useMemo(() => (kept.current = unchanged(kept.current, toEdges(graph, stand, ways, words, place, trail.edges))), [stand, words, place, trail, graph]);
  const [nodes, setNodes] = useState<Node[]>(drawnNodes);
  useEffect(() => setNodes((before) => reuse(before, drawnNodes)), [drawnNodes]);

  const onNodesChange = useCallback((changes: NodeChange[]) => {
    const choices = changes.filter((each) => each.type === "select");
    if (choices.length) {
      const on = new Set(get().selected);
      for (const each of choices) each.selected ? on.add(each.id) : on.delete(each.id);
      const chosen = [...on].filter((id) => !id.startsWith("+"));
      set({ selected: chosen, place: null, form: chosen.length === 1 ? get().form : false });
    }
    setNodes((before) => applyNodeChanges(changes.filter((each) => each.type !== "select"), before));
  }, []);
  const onDragStop = useCallback((_: unknown, __: unknown, moved: Node[]) => {
    const next = { ...get().layout };
    for (const each of moved) if (each.type === "step") next[each.id] = [Math.round(sideways(each.position.x + WIDE / 2)), Math.round(each.position.y)];
    change(get().graph, next);
  }, []);
  const onConnect = useCallback((made: Connection) => {
    const from = { node: made.source, way: made.sourceHandle?.slice(1) ?? "" };
    if (made.target !== START) change(connect(get().graph, from, made.target), get().layout, { place: null });
  }, []);

  const box = useRef<HTMLDivElement>(null);
  useEffect(() => keepMiddle(flow, box.current!), []);
  useEffect(() => keepInView(flow, stand, selected.at(-1)), [selected, stand]);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    const kind = palette.nodes.find((each) => each.kind === event.dataTransfer.getData("application/x-kesher-step"));
    if (!kind) return;
    const at = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    const near = nearest(graph, stand, ways, at);
    addStep(kind, near, near ? undefined : [Math.round(sideways(at.x)), Math.round(at.y)]);
  };
  return (
    <div ref={box} className="k-canvas d-canvas" dir="ltr" role="application" aria-label={t("canvas")} aria-roledescription={t("canvas_role")} onKeyDown={(event) => onCanvasKey(event, stand)} onDrop={drop} onDragOver={(event) => event.preventDefault()}>
      <ReactFlow
        nodes={nodes}
        edges={drawnEdges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onNodesChange={onNodesChange}
        onNodeDragStart={(_, node) => node.type === "step" && !get().selected.includes(node.id) && set({ selected: [node.id], place: null })}
        onNodeDragStop={onDragStop}
        onSelectionDragStop={(event, moved) => onDragStop(event, null, moved)}
        onConnect={onConnect}
        onNodeClick={(event, node) => node.type === "step" && !event.shiftKey && !event.ctrlKey && !event.metaKey && set({ selected: [node.id], place: null, form: true })}
        onPaneClick={() => set({ selected: [], place: null, form: false })}
        disableKeyboardA11y
        ariaLabelConfig={SAID}
        nodesFocusable={false}
        edgesFocusable={false}
        deleteKeyCode={null}
        multiSelectionKeyCode={["Shift", "Control", "Meta"]}
        connectionRadius={60}
        nodeDragThreshold={4}
        selectNodesOnDrag={false} // React Flow's own takes the dragged step out of several while it still believes a key is down
        minZoom={0.1}
        maxZoom={1.6}
        panOnScroll
        zoomOnDoubleClick={false}
        fitView
        fitViewOptions={FIT}
        elevateEdgesOnSelect={false}
        proOptions={{ hideAttribution: true }}
      />
      <Zoom />
    </div>
  );
}

function Zoom() {
  const { zoom } = useViewport();
  const flow = useReactFlow();
  return (
    <div className="k-ctools" dir={page.rtl ? "rtl" : "ltr"}>
      <IconButton icon="minus" label={t("zoom_out")} onClick={() => void flow.zoomOut()} />
      <span className="k-tiny k-3rd d-zoom">
        <bdi>{num(Math.round(zoom * 100))}%</bdi>
      </span>
      <IconButton icon="plus" label={t("zoom_in")} onClick={() => void flow.zoomIn()} />
      <IconButton icon="maximize" label={t("fit")} onClick={() => void flow.fitView(FIT)} />
    </div>
  );
}

function toNodes(graph: ReturnType<typeof get>["graph"], stand: Arranged, ways: ReturnType<typeof waysOf>, selected: string[], trail: ReadonlySet<string>): Node[] {
  const current = selected.at(-1) ?? START;
  const found: Node[] = [START, ...Object.keys(graph.nodes)].map((id) => {
    const { x, y } = stand.at.get(id)!;
    const out = id === START ? [""] : ways(id).map((way) => way.name);
    const towards = (way: string, index: number) => {
      const target = targetOf(graph, { node: id, way }) ?? openId({ node: id, way });
      return sideways((stand.ways.get(edgeId({ node: id, way }))?.label ?? stand.at.get(target))?.x ?? index);
    };
    const across = out.map((way, index) => ({ way, x: towards(way, index) })).sort((a, b) => a.x - b.x); // so that ways do not cross where they begin
    const data: StepData = { out: across.map((each) => each.way).join("|"), current: id === current, trod: trail.has(id) };
    return { id, type: "step", data, domAttributes: STEP, position: { x: sideways(x) - WIDE / 2, y }, width: WIDE, height: TALL, selected: selected.includes(id) };
  });
  for (const place of openEnds(graph, ways)) {
    const { x, y } = stand.at.get(openId(place))!;
    const position = { x: sideways(x) - DOT / 2, y };
    found.push({ id: openId(place), type: "open", data: { ...place }, domAttributes: WAY, position, width: DOT, height: DOT, draggable: false, selectable: false, connectable: false });
  }
  return found;
}

function toEdges(graph: ReturnType<typeof get>["graph"], stand: Arranged, ways: ReturnType<typeof waysOf>, words: (place: Place) => string, chosen: Place | null, trail: ReadonlySet<string>): Edge[] {
  const led = allEdges(graph, ways).map((each) => ({ ...each, open: false }));
  const open = openEnds(graph, ways).map((place) => ({ ...place, target: openId(place), open: true }));
  return [...led, ...open].map((each) => {
    const id = edgeId(each);
    const drawn = stand.ways.get(id);
    const data: WayData = {
      node: each.node,
      way: each.way,
      open: each.open,
      label: words(each),
      chosen: chosen?.node === each.node && chosen.way === each.way,
      trod: trail.has(id),
      bends: drawn?.bends.map(flip),
      at: drawn && flip(drawn.label),
    };
    return { id, type: "way", ...told(each, data.label), source: each.node, target: each.target, sourceHandle: `>${each.way}`, data: data as unknown as Record<string, unknown>, selectable: false };
  });
}

/** What a screen reader hears of a way. */
function told(way: Place & { target: string; open: boolean }, label: string): Partial<Edge> {
  const from = label ? t("step_way", { step: labelOf(get(), way.node), way: label }) : labelOf(get(), way.node);
  const said = way.open ? `${from}: ${t("nowhere")}` : t("way_leads", { from, to: labelOf(get(), way.target) });
  return { ariaLabel: said, domAttributes: WAY };
}

const flip = ({ x, y }: Point): Point => ({ x: sideways(x), y });

/** Keep the ways that are as they were: a letter typed into a form draws none of them again. */
function unchanged(before: Edge[], after: Edge[]): Edge[] {
  const old = new Map(before.map((edge) => [edge.id, edge]));
  return after.map((edge) => {
    const was = old.get(edge.id);
    return was && JSON.stringify(was) === JSON.stringify(edge) ? was : edge;
  });
}

/** Keep what is as it was, so that React Flow draws only what changed. */
function reuse(before: Node[], after: Node[]): Node[] {
  const old = new Map(before.map((node) => [node.id, node]));
  return after.map((node) => {
    const was = old.get(node.id);
    if (!was) return node;
    const same = was.selected === node.selected && was.position.x === node.position.x && was.position.y === node.position.y && JSON.stringify(was.data) === JSON.stringify(node.data);
    return same ? was : { ...was, ...node };
  });
}

function nearest(graph: ReturnType<typeof get>["graph"], stand: Arranged, ways: ReturnType<typeof waysOf>, at: Point): Place | null {
  const far = (x: number, y: number) => Math.hypot(sideways(x) - at.x, y - at.y);
  for (const place of openEnds(graph, ways)) {
    const open = stand.at.get(openId(place))!;
    if (far(open.x, open.y + DOT / 2) < 70) return place;
  }
  for (const edge of allEdges(graph, ways)) {
    const label = stand.ways.get(edgeId(edge))?.label;
    if (label && far(label.x, label.y) < 40) return edge;
  }
  const over = [START, ...Object.keys(graph.nodes)].find((id) => {
    const node = stand.at.get(id)!;
    return Math.abs(sideways(node.x) - at.x) < WIDE / 2 && at.y > node.y && at.y < node.y + TALL;
  });
  const way = over === START ? { name: "" } : over && ways(over)[0];
  return over && way ? { node: over, way: way.name } : null;
}

/** Move the view only when the chosen step is out of sight. */
function keepInView(flow: ReturnType<typeof useReactFlow>, stand: Arranged, id: string | undefined): void {
  const at = id && stand.at.get(id);
  const pane = document.querySelector(".d-canvas")?.getBoundingClientRect();
  if (!at || !pane?.width) return;
  const screen = flow.flowToScreenPosition({ x: sideways(at.x), y: at.y + TALL / 2 });
  const inside = screen.x > pane.left + 90 && screen.x < pane.right - 90 && screen.y > pane.top + 40 && screen.y < pane.bottom - 60;
  if (!inside) void flow.setCenter(sideways(at.x), at.y + TALL / 2, { zoom: flow.getZoom(), duration: calm() ? 0 : 120 });
}

/** When the settings open or close beside it, what was in the middle stays there. */
function keepMiddle(flow: ReturnType<typeof useReactFlow>, box: HTMLElement): () => void {
  let wide = box.clientWidth;
  const watcher = new ResizeObserver(() => {
    const { x, y, zoom } = flow.getViewport();
    if (wide && box.clientWidth && wide !== box.clientWidth) void flow.setViewport({ x: x + (box.clientWidth - wide) / 2, y, zoom });
    wide = box.clientWidth;
  });
  watcher.observe(box);
  return () => watcher.disconnect();
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

