// The journey tried on somebody: the same steps as live, a clock that jumps, nothing sent.

import { useEffect, useState, type FormEvent } from "react";
import { Icon } from "./Icon";
import { Stories } from "./Stories";
import { Refused, ask } from "./api";
import { get, set, use, ways } from "./store";
import type { Happening, Json, Line, Settings, Trial } from "./types";
import { labelOf } from "./view";
import { moment, page, t } from "./words";

const HOUR = 3_600_000;
const ORDER: Line["kind"][] = ["event", "refused", "start", "step", "message", "end"]; // of what happens at one moment
const inOrder = (a: Line, b: Line) => Date.parse(a.at) - Date.parse(b.at) || ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind);
const shownOf = (trial: Trial, until: string) => trial.timeline.filter((line) => Date.parse(line.at) <= Date.parse(until)).sort(inOrder);
const nextOf = (trial: Trial, until: string) => trial.timeline.find((line) => Date.parse(line.at) > Date.parse(until))?.at;

export function TryIt() {
  const trial = use((s) => s.trial);
  const clock = use((s) => s.clock);
  const starter = use((s) => String(s.graph.trigger.settings?.event ?? ""));
  const [told, setTold] = useState<Happening[]>([]);
  const [name, setName] = useState("");
  const [detail, setDetail] = useState("");
  const [who, setWho] = useState(""); // a real person; empty: somebody invented
  const [inside, setInside] = useState(""); // segments they are in, with commas
  const asks = use((s) => Object.values(s.graph.nodes).some((step) => JSON.stringify(step.settings ?? {}).includes('"of":"segment"')));
  const segments = asks ? inside.split(",").map((each) => each.trim()).filter(Boolean) : [];
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    if (!trial) setTold([]); // the drawing has changed
  }, [trial]);
  const next = trial && nextOf(trial, clock);

  const tell = async (events: Happening[], until: string, more: { who?: string; traits?: Settings; segments: string[] } = { who, segments }) => {
    const before = get().clock;
    try {
      const found = await ask<Trial>("POST", "/journeys/simulate", { graph: get().graph, start: events[0]!.at, events, language: page.language, slug: page.slug, ...more });
      setTold(events);
      setTrouble("");
      set({ trial: found, clock: get().clock === before ? until : get().clock, said: t("tried") }); // who went on meanwhile is not put back
    } catch (problem) {
      setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
    }
  };
  const happen = (event: FormEvent) => {
    event.preventDefault();
    const said = name || starter;
    if (!said) return setTrouble(t("choose_event"));
    const at = trial ? clock : new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
    const properties = parse(detail);
    setName("");
    void tell([...told, { at, name: said, ...(properties ? { properties } : {}) }], at);
  };
  const jump = (to: string) => set({ clock: to });
  const later = (hours: number) => jump(new Date(Date.parse(clock) + hours * HOUR).toISOString());
  return (
    <section aria-label={t("try_it")}>
      <div className="k-row k-row-wrap">
        <h2>{t("try_it")}</h2>
        <span className="k-badge">{t("nothing_sent")}</span>
        {trial && (
          <span className="k-tiny k-3rd">
            <bdi>{moment(clock)}</bdi>
          </span>
        )}
        {trial && (
          <span className="k-push k-row k-row-wrap d-tight">
            <button type="button" className="btn btn-sm" disabled={!next} onClick={() => next && jump(next)}>
              <Icon name="player-skip-forward" />
              {t("jump_next")}
            </button>
            <button type="button" className="btn btn-sm" onClick={() => later(1)}>
              {t("jump_hour")}
            </button>
            <button type="button" className="btn btn-sm" onClick={() => later(24)}>
              {t("jump_day")}
            </button>
            <button type="button" className="btn btn-sm k-btn-quiet" onClick={() => set({ trial: null })}>
              {t("start_over")}
            </button>
          </span>
        )}
      </div>
      <form className="k-row k-row-wrap d-happen" onSubmit={happen}>
        <label className="visually-hidden" htmlFor="d-who">
          {t("on_whom")}
        </label>
        <input className="form-control" id="d-who" dir="auto" placeholder={t("somebody")} title={t("on_whom_help")} value={who} onChange={(event) => setWho(event.target.value)} />
        {asks && <SegmentsField value={inside} onChange={setInside} />}
        <EventField value={name} otherwise={trial ? "" : starter} onChange={setName} />
        <label className="visually-hidden" htmlFor="d-detail">
          {t("properties")}
        </label>
        <input className="form-control" id="d-detail" dir="auto" placeholder={t("properties_hint")} value={detail} onChange={(event) => setDetail(event.target.value)} />
        <button className="btn btn-sm d-begin">
          <Icon name="bolt" />
          {trial ? t("it_happens") : t("begin")}
        </button>
      </form>
      {trouble && (
        <p className="d-wrong" role="alert">
          {trouble}
        </p>
      )}
      <Told />
      <Stories tried={told} inside={segments} onPlay={(story) => void tell(story.events, story.events.at(-1)!.at, { traits: story.traits, segments: story.segments })} />
    </section>
  );
}

function SegmentsField({ value, onChange }: { value: string; onChange: (said: string) => void }) {
  const segments = use((s) => s.palette.lists.segment) ?? [];
  return (
    <>
      <label className="visually-hidden" htmlFor="d-inside">
        {t("in_segments")}
      </label>
      <input className="form-control" id="d-inside" dir="auto" list="d-segments" placeholder={t("in_segments")} title={t("in_segments_help")} value={value} autoComplete="off" onChange={(event) => onChange(event.target.value)} />
      <datalist id="d-segments">
        {segments.map((each) => (
          <option key={each.value} value={each.value} label={each.label === each.value ? undefined : each.label} />
        ))}
      </datalist>
    </>
  );
}

function EventField({ value, otherwise, onChange }: { value: string; otherwise: string; onChange: (name: string) => void }) {
  const events = use((s) => s.palette.lists.event) ?? [];
  const titleOf = (name: string) => events.find((each) => each.value === name)?.label ?? name;
  return (
    <>
      <label className="visually-hidden" htmlFor="d-event">
        {t("what_happens")}
      </label>
      <input className="form-control" id="d-event" dir="auto" list="d-events" placeholder={titleOf(otherwise) || t("what_happens")} value={value} onChange={(event) => onChange(events.find((each) => each.label === event.target.value)?.value ?? event.target.value)} />
      <datalist id="d-events">
        {events.map((each) => (
          <option key={each.value} value={each.value} label={each.label === each.value ? undefined : each.label} />
        ))}
      </datalist>
    </>
  );
}

function Told() {
  const trial = use((s) => s.trial);
  const clock = use((s) => s.clock);
  if (!trial) return null;
  const lines = shownOf(trial, clock).filter((line) => line.kind !== "start");
  const next = nextOf(trial, clock);
  return (
    <ol className="k-plain k-try">
      {lines.map((line, index) => (
        <li key={index}>
          <time dateTime={line.at}>
            <bdi>{moment(line.at)}</bdi>
          </time>
          <span>
            {ICONS[line.kind] && <Icon name={ICONS[line.kind]!} className="k-i-s" />} {wordsOf(line)}
          </span>
        </li>
      ))}
      {next && (
        <li className="k-3rd">
          <time dateTime={next}>
            <bdi>{moment(next)}</bdi>
          </time>
          <span>{t("goes_on")}</span>
        </li>
      )}
    </ol>
  );
}

const ICONS: Partial<Record<Line["kind"], string>> = { event: "bolt", message: "mail", refused: "ban", end: "check" };

function wordsOf(line: Line): string {
  if (line.kind === "message") return t("would_send", { template: line.text });
  if (line.kind === "refused") return t("started_nothing", { reason: line.text });
  if (line.kind === "end") return t("run_over", { why: line.text });
  if (line.kind !== "step" || !line.node) return line.text;
  const way = ways(line.node).find((each) => each.name === line.exit)?.label;
  const step = labelOf(get(), line.node);
  return way ? t("step_way", { step, way }) : step;
}

/** `price=120, sku=A7` as properties. */
function parse(text: string): Record<string, Json> | null {
  const pairs = text.split(",").flatMap((each) => {
    const [name, ...rest] = each.split("=");
    return name?.trim() && rest.length ? [[name.trim(), rest.join("=").trim()] as const] : [];
  });
  return pairs.length ? Object.fromEntries(pairs) : null;
}
