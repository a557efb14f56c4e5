// The settings of the chosen step: its name, its form, where its ways lead, who is there now.

import { Fields } from "./Form";
import { Icon, IconButton } from "./Icon";
import { START, connect, targetOf, withStep } from "./graph";
import { focusNode } from "./keys";
import { change, get, kindOf, removeChosen, set, setSettings, use, waysOf } from "./store";
import type { Problem, Settings } from "./types";
import { choicesOf, iconOf, problemsOf } from "./view";
import { num, page, t } from "./words";

export function SettingsPanel({ id }: { id: string }) {
  const step = use((s) => s.graph.nodes[id]);
  const part = use((s) => (id === START ? s.graph.trigger : s.graph.nodes[id]));
  const kind = use((s) => (id === START ? s.palette.triggers.find((each) => each.kind === s.graph.trigger.kind) : kindOf(s.palette, s.graph.nodes[id])));
  const icon = use((s) => iconOf(s, id));
  const look = use((s) => s.look);
  if (!part) return null;
  const problems = problemsOf(get(), id);
  const shut = () => {
    set({ form: false });
    focusNode(id);
  };
  void look; // problems change with what the server says
  return (
    <aside className="k-dset" aria-label={t("settings")} onKeyDown={(event) => event.key === "Escape" && shut()}>
      <div className="k-card-head">
        <span className="k-tl-icon">
          <Icon name={icon} />
        </span>
        <h2>{kind?.title ?? part.kind}</h2>
        <IconButton icon="x" label={t("close")} className="k-push" onClick={shut} />
      </div>
      <form className="k-card-body" key={id} onSubmit={(event) => event.preventDefault()}>
        <Troubles problems={problems.filter((each) => each.field === null)} />
        {id === START ? <TriggerKind /> : step && <NameField id={id} />}
        {kind && <Fields schema={kind.schema} root={kind.schema} value={(part.settings ?? {}) as Settings} path="" problems={problems} onChange={(value, path) => setSettings(id, value as Settings, path)} />}
        {id === START && <JourneyFields />}
        <WaysOut id={id} />
        <HereNow id={id} />
        {step && (
          <button
            type="button"
            className="btn btn-sm d-remove"
            onClick={() => {
              set({ selected: [id], place: null });
              set({ said: t("removed_n", { n: num(removeChosen()) }) });
              focusNode(START);
            }}
          >
            <Icon name="trash" />
            {t("remove_step")}
          </button>
        )}
      </form>
    </aside>
  );
}

function Troubles({ problems }: { problems: Problem[] }) {
  return problems.map((each) => (
    <p key={each.text} className={each.level === "error" ? "d-wrong" : "k-hint"}>
      {each.text}
    </p>
  ));
}

function NameField({ id }: { id: string }) {
  const step = use((s) => s.graph.nodes[id]!);
  const title = use((s) => kindOf(s.palette, s.graph.nodes[id])?.title ?? "");
  return (
    <div className="k-field">
      <label className="form-label" htmlFor="d-name">
        {t("step_name")}
      </label>
      <input
        className="form-control"
        id="d-name"
        dir="auto"
        maxLength={80}
        placeholder={title}
        value={step.name?.[page.language] ?? ""}
        onChange={(event) => {
          const { [page.language]: _, ...others } = step.name ?? {};
          const name = event.target.value ? { ...others, [page.language]: event.target.value } : others;
          change(withStep(get().graph, id, { ...step, name }), get().layout, {}, `${id}.@name`);
        }}
      />
    </div>
  );
}

function TriggerKind() {
  const triggers = use((s) => s.palette.triggers);
  const graph = use((s) => s.graph);
  return (
    <>
      <div className="k-field">
        <label className="form-label" htmlFor="d-journey">
          {t("journey_name")}
        </label>
        <input className="form-control" id="d-journey" dir="auto" maxLength={80} value={graph.name[page.language] ?? ""} onChange={(event) => change({ ...graph, name: { ...graph.name, [page.language]: event.target.value } }, get().layout, {}, "@name")} />
      </div>
      <div className="k-field">
        <label className="form-label" htmlFor="d-trigger">
          {t("starts_with")}
        </label>
        <select
          className="form-select"
          id="d-trigger"
          value={graph.trigger.kind}
          onChange={(event) => {
            const kind = triggers.find((each) => each.kind === event.target.value);
            if (kind) change({ ...graph, trigger: { kind: kind.kind, settings: structuredClone(kind.settings) } });
          }}
        >
          {triggers.map((each) => (
            <option key={each.kind} value={each.kind}>
              {each.title}
            </option>
          ))}
        </select>
      </div>
    </>
  );
}

/** What holds for the whole journey: who may enter, what ends it. */
function JourneyFields() {
  const schema = use((s) => s.palette.journey);
  const graph = use((s) => s.graph);
  const look = use((s) => s.look);
  const own = Object.fromEntries(Object.keys(schema.properties ?? {}).flatMap((name) => (name in graph ? [[name, graph[name]]] : []))) as Settings;
  if (Array.isArray(own.exit_on)) own.exit_on = own.exit_on.map((each) => (typeof each === "string" ? { event: each } : each));
  const put = (value: Settings, path: string) => {
    const { name, trigger, entry, nodes } = graph;
    const rest = Object.fromEntries(Object.entries(graph).filter(([key]) => !(key in (schema.properties ?? {}))));
    change({ ...rest, ...value, name, trigger, entry, nodes }, get().layout, {}, `@journey.${path}`);
  };
  return (
    <fieldset className="d-part">
      <legend className="form-label">{t("whole_journey")}</legend>
      <Fields schema={schema} root={schema} value={own} path="" problems={look.problems.filter((each) => each.node === null)} onChange={(value, path) => put(value as Settings, path)} />
    </fieldset>
  );
}

function WaysOut({ id }: { id: string }) {
  const graph = use((s) => s.graph);
  const look = use((s) => s.look);
  const palette = use((s) => s.palette);
  const counts = use((s) => s.counts);
  const out = id === START ? [{ name: "", label: "" }] : waysOf(look, palette, graph)(id);
  if (!out.length) return null;
  const targets = choicesOf(get());
  const taken = out.map((way) => counts?.edges[`${id}/${way.name}`] ?? 0);
  const all = taken.reduce((sum, each) => sum + each, 0);
  return (
    <fieldset className="d-part">
      <legend className="form-label">{t("ways_out")}</legend>
      {out.map((way, index) => (
        <div className="k-field" key={way.name}>
          <label className="k-small k-row" htmlFor={`d-way-${way.name}`}>
            <Icon name="corner-down-right" className="k-i-s k-3rd" />
            <span className="k-grow">{way.label || t("then")}</span>
            {all > 0 && <bdi>{num(Math.round((100 * taken[index]!) / all))}%</bdi>}
          </label>
          <select className="form-select" id={`d-way-${way.name}`} value={targetOf(graph, { node: id, way: way.name }) ?? ""} onChange={(event) => change(connect(get().graph, { node: id, way: way.name }, event.target.value || undefined))}>
            <option value="">{t("nowhere")}</option>
            {targets.map(([other, words]) => (
              <option key={other} value={other}>
                {words}
              </option>
            ))}
          </select>
        </div>
      ))}
    </fieldset>
  );
}

function HereNow({ id }: { id: string }) {
  const here = use((s) => s.counts?.nodes[id]);
  if (!here) return null;
  return (
    <div className="k-field d-part">
      <span className="form-label">{t("here_now")}</span>
      <p className="k-small">
        <a href={`/journeys/${page.slug}/runs?node=${id}&status=active`}>{t("people_wait", { n: num(here) })}</a>
      </p>
    </div>
  );
}
