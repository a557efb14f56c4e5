// The bar on top: what this is, whether it is saved, back and forward, publish.

import { Icon, IconButton } from "./Icon";
import { change, get, redo, undo, use } from "./store";
import { keepMine, takeTheirs } from "./save";
import { moment, named, num, page, t, time } from "./words";

const TONES: Record<string, string> = { live: "ok", paused: "warn", broken: "bad", draft: "line" };

export function Bar({ onPublish }: { onPublish: () => void }) {
  const name = use((s) => named(s.graph.name, page.slug));
  const status = use((s) => s.status);
  const version = use((s) => s.version);
  return (
    <header className="k-dbar">
      <button type="button" className="k-icon-btn k-only-s" data-menu aria-controls="nav" aria-expanded="false" aria-label={t("menu")}>
        <Icon name="menu-2" />
      </button>
      <a className="k-icon-btn k-not-s" href={`/journeys/${version ? page.slug : ""}`} aria-label={t("back")} title={t("back")}>
        <Icon name="arrow-left" />
      </a>
      <h1 className="k-cut">
        <bdi>{name}</bdi>
      </h1>
      <span className={`k-badge ${TONES[status] ?? ""}`}>{version ? t("state_version", { state: t(`state_${status}`), n: num(version) }) : t("state_draft")}</span>
      <Saving />
      <span className="k-push k-row k-not-s d-tools">
        <BackAndForth />
        <IconButton icon="sitemap" label={t("tidy")} onClick={() => change(get().graph, {})} />
      </span>
      <button type="button" className="btn btn-primary d-publish" onClick={onPublish}>
        {t("publish")}
      </button>
    </header>
  );
}

export function BackAndForth() {
  const back = use((s) => s.past.length > 0);
  const forth = use((s) => s.future.length > 0);
  return (
    <>
      <IconButton icon="arrow-back-up" label={t("undo")} disabled={!back} onClick={undo} />
      <IconButton icon="arrow-forward-up" label={t("redo")} disabled={!forth} onClick={redo} />
    </>
  );
}

function Saving() {
  const saving = use((s) => s.saving);
  const at = use((s) => s.savedAt);
  const words = { saved: at ? t("draft_saved", { time: time(at) }) : t("no_draft"), waiting: t("saving"), saving: t("saving"), failed: t("not_saved_short"), conflict: t("conflict_short") };
  return (
    <span className={`k-tiny k-not-s d-saving ${saving === "failed" || saving === "conflict" ? "k-bad" : "k-3rd"}`} data-saving={saving}>
      {words[saving]}
    </span>
  );
}

/** Why nothing is stored, as long as it is not: a word in the bar is overlooked, and a phone has no room for it. */
export function Unsaved() {
  const trouble = use((s) => s.trouble);
  if (!trouble) return null;
  return (
    <div className="k-banner d-conflict" role="alert">
      <Icon name="alert-triangle" className="k-i-s" />
      <span className="k-grow">{trouble}</span>
    </div>
  );
}

/** When somebody else saved meanwhile: both are kept until one is chosen. */
export function Conflict() {
  const theirs = use((s) => s.theirs);
  if (!theirs) return null;
  return (
    <div className="k-banner d-conflict" role="alert">
      <Icon name="users" className="k-i-s" />
      <span className="k-grow">{theirs.saved_by ? t("conflict_by", { who: theirs.saved_by, time: moment(theirs.saved_at) }) : t("conflict", { time: moment(theirs.saved_at) })}</span>
      <button type="button" className="btn btn-sm" onClick={() => void takeTheirs()}>
        {t("take_theirs")}
      </button>
      <button type="button" className="btn btn-sm" onClick={() => void keepMine()}>
        {t("keep_mine")}
      </button>
    </div>
  );
}
