// The steps there are: drag one onto the drawing, click it, or press Enter on it.

import { useState, type KeyboardEvent } from "react";
import { Icon } from "./Icon";
import { focusNode } from "./keys";
import { addStep, placeForNew, set, use } from "./store";
import type { Kind } from "./types";
import { labelOf } from "./view";
import { t } from "./words";

export function Palette({ onAdded }: { onAdded?: () => void }) {
  const kinds = use((s) => s.palette.nodes);
  const place = use((s) => s.place);
  const from = use((s) => (s.place ? labelOf(s, s.place.node) : ""));
  const [asked, ask] = useState("");
  const words = asked.trim().toLowerCase();
  const fits = kinds.filter((kind) => kind.title.toLowerCase().includes(words));
  const best = fits.find((kind) => kind.title.toLowerCase() === words) ?? fits.find((kind) => kind.title.toLowerCase().startsWith(words)) ?? fits[0];
  const put = (kind: Kind) => {
    const id = addStep(kind, placeForNew());
    set({ said: t("added", { step: kind.title }) });
    ask("");
    onAdded?.();
    focusNode(id);
  };
  const onKey = (event: KeyboardEvent<HTMLElement>) => {
    const all = [...event.currentTarget.querySelectorAll<HTMLElement>(".k-pal")];
    const here = all.indexOf(document.activeElement as HTMLElement);
    if (event.key === "ArrowDown") all[Math.min(here + 1, all.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (here > 0 ? all[here - 1] : event.currentTarget.querySelector<HTMLElement>("input"))?.focus();
    else return;
    event.preventDefault();
  };
  return (
    <aside className="k-dpal" aria-label={t("steps")} onKeyDown={onKey}>
      <div className="k-search d-search">
        <Icon name="search" />
        <input className="form-control d-find" aria-label={t("find_step")} placeholder={t("find")} value={asked} onChange={(event) => ask(event.target.value)} onKeyDown={(event) => event.key === "Enter" && best && put(best)} />
      </div>
      <p className="k-hint d-where" aria-live="polite">
        {place ? t("goes_after", { step: from }) : t("palette_hint")}
      </p>
      {[...new Set(fits.map((kind) => kind.group ?? ""))].map((group) => (
          <div key={group} role="group" aria-label={group}>
            <div className="k-pal-h" aria-hidden="true">
              {group}
            </div>
            {fits.filter((kind) => (kind.group ?? "") === group).map((kind) => (
              <button key={kind.kind} type="button" className="k-pal" data-kind={kind.kind} draggable onDragStart={(event) => event.dataTransfer.setData("application/x-kesher-step", kind.kind)} onClick={() => put(kind)}>
                <Icon name={kind.icon} />
                {kind.title}
              </button>
            ))}
          </div>
      ))}
      {!fits.length && <p className="k-hint">{t("no_such_step")}</p>}
    </aside>
  );
}
