// The page: bar, palette, drawing (or outline), problems and try-it, settings.

import { useEffect, useState } from "react";
import { Backtest } from "./Backtest";
import { Bar, Conflict, Unsaved } from "./Bar";
import { Canvas } from "./Canvas";
import { Outline } from "./Outline";
import { Palette } from "./Palette";
import { Problems } from "./Problems";
import { Publish } from "./Publish";
import { SettingsPanel } from "./SettingsPanel";
import { TryIt } from "./TryIt";
import { ask, own } from "./api";
import { onPageKey } from "./keys";
import { get, set, use } from "./store";
import type { Counts } from "./types";
import { num, t } from "./words";

const NARROW = matchMedia("(max-width: 767.98px)");
const EVERY = 5000; // ms between two looks at the numbers

export function Designer() {
  const selected = use((s) => (s.form && s.selected.length === 1 ? s.selected[0]! : null));
  const many = use((s) => s.selected.length);
  const refused = use((s) => s.refused);
  const [narrow, setNarrow] = useState(NARROW.matches);
  const [publishing, publish] = useState(false);
  useEffect(() => {
    const turn = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", turn);
    addEventListener("keydown", onPageKey);
    const stop = watch();
    return () => {
      NARROW.removeEventListener("change", turn);
      removeEventListener("keydown", onPageKey);
      stop();
    };
  }, []);
  return (
    <>
      <Bar onPublish={() => publish(true)} />
      <Conflict />
      <Unsaved />
      <div className={`k-dwork${selected ? "" : " d-two"}`}>
        {!narrow && <Palette />}
        <div className="k-dmid">
          {narrow ? <Outline /> : <Canvas />}
          {refused && <p className="d-many d-refused">{refused}</p>}
          {!refused && many > 1 && <p className="d-many">{t("chosen_n", { n: num(many) })}</p>}
          <div className="k-dock">
            <Problems />
            <TryIt />
            <Backtest />
          </div>
        </div>
        {selected && <SettingsPanel id={selected} />}
      </div>
      {publishing && <Publish onClose={() => publish(false)} />}
      <Spoken />
    </>
  );
}

/** What changed, for who does not see it. */
function Spoken() {
  const said = use((s) => s.said);
  const errors = use((s) => s.look.problems.filter((each) => each.level === "error").length);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      <span>{said}</span> <span>{errors ? t("problems_n", { n: num(errors) }) : t("no_problems")}</span>
    </div>
  );
}

/** Numbers on the drawing while the journey is live and somebody looks. */
function watch(): () => void {
  const look = async () => {
    if (get().version === null || document.hidden) return;
    try {
      set({ counts: await ask<Counts>("GET", own("counts")) });
    } catch {
      set({ counts: null }); // rather no number than an old one
    }
  };
  void look();
  const timer = setInterval(() => void look(), EVERY);
  return () => clearInterval(timer);
}
