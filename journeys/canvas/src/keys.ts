// The canvas by keyboard alone.

import type { KeyboardEvent } from "react";
import { START, targetOf } from "./graph";
import type { Arranged } from "./layout";
import { copyChosen, get, pasteCopied, redo, removeChosen, set, undo, ways } from "./store";
import { labelOf } from "./view";
import { num, page, t } from "./words";

/** Keys that act wherever the focus is, except in a field. */
export function onPageKey(event: globalThis.KeyboardEvent): void {
  const field = (event.target as HTMLElement).closest("input, select, textarea, dialog");
  if (field || !(event.ctrlKey || event.metaKey)) return;
  const act = shortcuts[event.code === "KeyZ" && event.shiftKey ? "KeyY" : event.code];
  if (!act || (event.code === "KeyC" && !getSelection()?.isCollapsed)) return;
  event.preventDefault();
  act();
}

const shortcuts: Record<string, () => void> = {
  KeyZ: () => tell(t("undone"), undo),
  KeyY: () => tell(t("redone"), redo),
  KeyC: () => tell(t("copied_n", { n: num(copyChosen()) })),
  KeyX: () => {
    copyChosen();
    tell(t("removed_n", { n: num(removeChosen()) }), focusChosen);
  },
  KeyV: () => {
    const put = pasteCopied();
    if (typeof put === "number") return tell(t("pasted_n", { n: num(put) }), focusChosen);
    const refused = t(put.why, Object.fromEntries(Object.entries(put.slots).map(([name, value]) => [name, typeof value === "number" ? num(value) : value])));
    set({ said: refused, refused });
  },
  KeyA: () => set({ selected: Object.keys(get().graph.nodes), place: null, form: false }),
};

function tell(said: string, act: () => void = () => {}): void {
  act();
  set({ said, refused: "" });
}

/** Arrows walk, Tab goes through the ways out, Enter opens, Delete removes. */
export function onCanvasKey(event: KeyboardEvent, stand: Arranged): void {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.target as HTMLElement).dataset.node) return;
  const id = (event.target as HTMLElement).dataset.node!;
  const done = event.key === "Tab" ? tab(id, event.shiftKey) : act(id, event.key, event.shiftKey, stand);
  if (done) event.preventDefault();
}

function act(id: string, key: string, more: boolean, stand: Arranged): boolean {
  switch (key) {
    case "ArrowDown":
      return go(down(id), more);
    case "ArrowUp":
      return go(up(id), more);
    case "ArrowLeft":
      return go(beside(id, stand, page.rtl ? 1 : -1), more);
    case "ArrowRight":
      return go(beside(id, stand, page.rtl ? -1 : 1), more);
    case "Home":
      return go(START, more);
    case " ":
      set({ selected: get().selected.includes(id) ? get().selected.filter((each) => each !== id) : [...get().selected, id], place: null });
      return true;
    case "Enter":
      if (get().place) document.querySelector<HTMLElement>(".d-find")?.focus();
      else {
        set({ selected: [id], form: true });
        requestAnimationFrame(() => document.querySelector<HTMLElement>(".k-dset input, .k-dset select, .k-dset textarea")?.focus());
      }
      return true;
    case "Delete":
    case "Backspace":
      return erase(id);
    case "Escape":
      set({ place: null, form: false });
      return true;
    default:
      return false;
  }
}

function erase(id: string): boolean {
  if (get().place) {
    tell(t("way_cut"), removeChosen);
    return true;
  }
  if (!get().selected.includes(id)) set({ selected: [id] });
  const before = up(id) ?? START;
  set({ said: t("removed_n", { n: num(removeChosen()) }) });
  focusNode(before);
  return true;
}

/** From the step through its ways out and on; nothing is trapped: after the last the browser goes on. */
function tab(id: string, back: boolean): boolean {
  const out = id === START ? [{ name: "", label: t("start") }] : ways(id);
  const now = get().place?.node === id ? out.findIndex((way) => way.name === get().place?.way) : -1;
  const next = back ? now - 1 : now + 1;
  const way = out[next];
  if (way) {
    const target = targetOf(get().graph, { node: id, way: way.name });
    const where = target ? t("leads_to", { step: labelOf(get(), target) }) : t("leads_nowhere");
    set({ place: { node: id, way: way.name }, selected: [id], said: `${way.label || t("next")}: ${where}` });
    return true;
  }
  set({ place: null });
  return back && now === 0;
}

function go(id: string | undefined, more: boolean): boolean {
  if (!id) return true;
  set({ selected: more ? [...get().selected.filter((each) => each !== id), id] : [id], place: null });
  focusNode(id);
  return true;
}

export function focusNode(id: string): void {
  requestAnimationFrame(() => {
    const card = [...document.querySelectorAll<HTMLElement>("[data-node]")].find((each) => each.dataset.node === id && each.offsetParent !== null);
    card?.focus({ preventScroll: true });
  });
}

function focusChosen(): void {
  focusNode(get().selected.at(-1) ?? START);
}

function down(id: string): string | undefined {
  const { graph, place } = get();
  if (place?.node === id) return targetOf(graph, place);
  if (id === START) return targetOf(graph, { node: START, way: "" });
  return ways(id).map((way) => targetOf(graph, { node: id, way: way.name })).find(Boolean);
}

function up(id: string): string | undefined {
  const { graph } = get();
  if (graph.entry === id) return START;
  return Object.entries(graph.nodes).find(([from, step]) => from !== id && Object.values(step.exits ?? {}).includes(id))?.[0];
}

function beside(id: string, stand: Arranged, side: number): string | undefined {
  const here = stand.at.get(id)!;
  const near = [...stand.at].filter(([other, at]) => !other.startsWith("+") && (at.x - here.x) * side > 8);
  const far = (x: number, y: number) => Math.abs(x - here.x) + 3 * Math.abs(y - here.y);
  return near.sort(([, a], [, b]) => far(a.x, a.y) - far(b.x, b.y))[0]?.[0];
}
