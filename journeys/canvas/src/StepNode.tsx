// A step on the canvas, and the + where a way still leads nowhere.

import { Handle, Position, useUpdateNodeInternals, type NodeProps } from "@xyflow/react";
import { memo, useEffect, useRef } from "react";
import { Icon } from "./Icon";
import { START, type Place } from "./graph";
import { set, use } from "./store";
import { hereOf, iconOf, labelOf, problemsOf, summaryOf, throughOf } from "./view";
import { num, page, t } from "./words";

export interface StepData extends Record<string, unknown> {
  out: string; // the ways out from left to right, joined by |
  current: boolean; // the one step that Tab reaches
  trod: boolean; // on the path of what is tried
}

export const StepNode = memo(function StepNode({ id, data, selected }: NodeProps) {
  const { out, current, trod } = data as StepData;
  const ways = out === "" && id !== START ? [] : out.split("|");
  const measure = useUpdateNodeInternals();
  const measured = useRef(out);
  useEffect(() => {
    if (measured.current !== out) measure(id); // React Flow must find handles that came or went
    measured.current = out;
  }, [out]);
  return (
    <>
      {id !== START && <Handle type="target" position={Position.Top} id="in" className="d-in" />}
      <Card id={id} current={current} className={`${selected ? " is-on" : ""}${trod ? " is-trod" : ""}`} />
      {ways.map((way, index) => (
        <Handle key={way} type="source" position={Position.Bottom} id={`>${way}`} style={{ left: `${spread(index, ways.length)}%` }} />
      ))}
    </>
  );
});

/** Where a way leaves the lower edge: in the middle, or side by side around it. */
function spread(index: number, count: number): number {
  return 50 + (index - (count - 1) / 2) * Math.min(14, 80 / Math.max(1, count));
}

export function Card({ id, current, className = "" }: { id: string; current: boolean; className?: string }) {
  const label = use((s) => labelOf(s, id));
  const summary = use((s) => summaryOf(s, id));
  const icon = use((s) => iconOf(s, id));
  const errors = use((s) => problemsOf(s, id).filter((each) => each.level === "error").length);
  const advice = use((s) => problemsOf(s, id).length) - errors;
  const kind = use((s) => (id === START ? "trig" : (s.graph.nodes[id]?.kind ?? "")));
  const ends = use((s) => id !== START && (s.look.nodes[id]?.exits.length ?? 1) === 0);
  const here = use((s) => hereOf(s.lived ?? s.counts, id));
  const result = use((s) => s.counts?.results[id] ?? "");
  const passed = use((s) => (id === START ? 0 : throughOf(s.lived ?? s.counts, id)));
  const trouble = errors ? t("problems_n", { n: num(errors) }) : advice ? t("advice_n", { n: num(advice) }) : "";
  const spoken = [label, summary, trouble, result, here ? `${num(here)} ${id === START ? t("started") : t("here_now")}` : ""].filter(Boolean).join(", ");
  return (
    <div
      className={`k-node ${kind}${ends ? " exit" : ""}${errors ? " is-bad" : ""}${className}`}
      dir={page.rtl ? "rtl" : "ltr"}
      role="button"
      tabIndex={current ? 0 : -1}
      data-node={id}
      aria-label={spoken}
      aria-pressed={className.includes("is-on")}
    >
      <span className="ic">
        <Icon name={icon} />
      </span>
      <span className="d-words">
        <b className="k-cut" title={label}>
          <bdi>{label}</bdi>
        </b>
        {summary && (
          <small className="k-cut" title={summary}>
            {summary}
          </small>
        )}
      </span>
      {here > 0 ? (
        <span className="n">
          <bdi>{num(here)}</bdi>
          <small>{id === START ? t("started") : t("here_now")}</small>
        </span>
      ) : (
        passed > 0 && (
          <span className="n">
            <bdi>{num(passed)}</bdi>
            <small>{t("passed")}</small>
          </span>
        )
      )}
      {result && (
        <span className="flag">
          <span className="k-badge ok">{result}</span>
        </span>
      )}
      {trouble && (
        <span className="flag">
          <span className={`k-badge ${errors ? "bad" : "warn"}`}>
            <Icon name="alert-triangle" />
            {trouble}
          </span>
        </span>
      )}
    </div>
  );
}

export const OpenEnd = memo(function OpenEnd({ data }: NodeProps) {
  const place = data as unknown as Place;
  const chosen = use((s) => s.place?.node === place.node && s.place.way === place.way);
  const from = use((s) => labelOf(s, place.node));
  return (
    <>
      <Handle type="target" position={Position.Top} id="in" className="d-in" isConnectable={false} />
      <button type="button" className={`d-open nodrag${chosen ? " is-on" : ""}`} tabIndex={-1} aria-label={t("add_after", { step: from })} title={t("add_after", { step: from })} onClick={() => choose(place)}>
        <Icon name="plus" />
      </button>
    </>
  );
});

/** Choose a way out, so that the next step from the palette goes there. */
export function choose(place: Place): void {
  set({ place: { node: place.node, way: place.way }, selected: [place.node], form: false });
  document.querySelector<HTMLElement>(".d-find")?.focus();
}
