// The same journey as a list, where a drawing has no room: steps can be read, opened, added and taken away.

import { useState } from "react";
import { BackAndForth } from "./Bar";
import { Icon } from "./Icon";
import { Palette } from "./Palette";
import { Card } from "./StepNode";
import { START, targetOf, told, type Place } from "./graph";
import { set, use, waysOf } from "./store";
import { labelOf } from "./view";
import { num, t } from "./words";

export function Outline() {
  const graph = use((s) => s.graph);
  const look = use((s) => s.look);
  const palette = use((s) => s.palette);
  const counts = use((s) => s.lived ?? s.counts);
  const selected = use((s) => s.selected);
  const state = use((s) => s);
  const [adding, add] = useState<Place | null>(null);
  const ways = waysOf(look, palette, graph);
  const card = (id: string) => (
    <div className="d-line" onClick={() => set({ selected: [id], place: null, form: true })} onKeyDown={(event) => event.key === "Enter" && set({ selected: [id], place: null, form: true })}>
      <Card id={id} current className={selected.includes(id) ? " is-on" : ""} />
    </div>
  );
  const open = (place: Place) => (
    <button
      type="button"
      className="btn btn-sm d-more"
      onClick={() => {
        set({ place, selected: [place.node], form: false });
        add(place);
      }}
    >
      <Icon name="plus" />
      {t("add_step")}
    </button>
  );
  return (
    <div className="k-outline">
      <div className="k-row k-end d-tools">
        <BackAndForth />
      </div>
      {card(START)}
      {!targetOf(graph, { node: START, way: "" }) && open({ node: START, way: "" })}
      {told(graph, ways).map((line, index) => {
        const count = line.open || !line.from ? 0 : (counts?.edges[`${line.from.node}/${line.from.way}`] ?? 0);
        const way = line.open ? ways(line.id).find((each) => each.name === line.way)?.label : line.way;
        return (
          <div key={index} style={{ paddingInlineStart: `${Math.min(line.depth, 6) * 0.875}rem` }}>
            <div className="k-gap">
              {way} {count > 0 && <b>{num(count)}</b>}
            </div>
            {line.open ? open({ node: line.id, way: line.way }) : line.again ? <p className="k-small k-3rd">{t("on_to", { step: labelOf(state, line.id) })}</p> : card(line.id)}
          </div>
        );
      })}
      {adding && (
        <div className="d-sheet">
          <button type="button" className="btn btn-sm" onClick={() => add(null)}>
            {t("close")}
          </button>
          <Palette onAdded={() => add(null)} />
        </div>
      )}
    </div>
  );
}
