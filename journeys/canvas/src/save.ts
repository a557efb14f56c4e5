// The draft saves itself, one request at a time; when somebody else saved meanwhile, nothing is overwritten before it was decided.

import { Refused, ask, lookOf, own, placed, stored } from "./api";
import { get, hear, replace, set, subscribe } from "./store";
import type { Theirs } from "./types";
import { t } from "./words";

type Judged = Parameters<typeof lookOf>[0];
type Saved = Judged & { revision: number; saved_at: string };

const PAUSE = 400; // ms without a change before saving
const AGAIN = 5000; // ms until the next try when the server did not answer
let timer = 0;
let busy = false;

/** Watch the drawing and save it. */
export function autosave(): void {
  let seen = get().graph;
  let placed = get().layout;
  subscribe(() => {
    const { graph, layout, saving } = get();
    if (saving !== "waiting" || (graph === seen && layout === placed)) return;
    seen = graph;
    placed = layout;
    later(PAUSE);
  });
  addEventListener("beforeunload", (event) => {
    if (get().saving !== "saved") event.preventDefault();
  });
}

function later(wait: number): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void save(), wait);
}

/** Save now; true once what is on the screen is what is stored. */
export async function save(): Promise<boolean> {
  clearTimeout(timer);
  if (busy) {
    later(PAUSE);
    return false;
  }
  const { graph, layout, revision } = get();
  busy = true;
  set({ saving: "saving" });
  try {
    const said = await ask<Saved>("PUT", own("draft"), { revision, graph, layout: stored(layout) });
    const same = get().graph === graph && get().layout === layout;
    hear(lookOf(said), { revision: said.revision, savedAt: said.saved_at, saving: same ? "saved" : "waiting", trouble: "", theirs: null });
    if (get().saving === "waiting") later(PAUSE);
  } catch (problem) {
    if (problem instanceof Refused && problem.status === 409) meet(problem.said as unknown as Theirs);
    else {
      const trouble = (problem instanceof Refused && typeof problem.said.error === "string" && problem.said.error) || t("not_saved");
      set({ saving: "failed", trouble, said: trouble });
      later(AGAIN);
    }
  } finally {
    busy = false;
  }
  return get().saving === "saved";
}

/** Wait until everything is stored; false where it cannot be. */
export async function settled(): Promise<boolean> {
  for (let tries = 0; tries < 50; tries++) {
    if (get().saving === "saved") return true;
    if (get().saving === "conflict" || get().saving === "failed") return false;
    if (get().saving === "waiting" && !busy) await save();
    else await new Promise((done) => setTimeout(done, 100));
  }
  return false;
}

/** Somebody else saved meanwhile: nothing more is stored before one of the two was chosen. */
export function meet(theirs: Theirs): void {
  set({ saving: "conflict", trouble: "", theirs: { ...theirs, layout: placed(theirs.layout) }, said: t("conflict_short") });
}

/** Of two drawings, mine is the one to keep: it becomes the revision after theirs. */
export async function keepMine(): Promise<boolean> {
  const { theirs } = get();
  if (theirs) set({ revision: theirs.revision, theirs: null, saving: "waiting" });
  return save();
}

/** Of two drawings, the other's is the one to keep; mine is one step back. */
export async function takeTheirs(): Promise<void> {
  const { theirs } = get();
  if (!theirs) return;
  replace(theirs, { revision: theirs.revision, savedAt: theirs.saved_at, theirs: null, saving: "saved" });
  hear(lookOf(await ask<Judged>("POST", "/journeys/check", { graph: theirs.graph })), {});
}
