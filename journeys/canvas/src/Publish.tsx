// Before a version goes live: what is wrong, who stands on what changed, and what becomes of them.

import { useEffect, useRef, useState } from "react";
import { Icon } from "./Icon";
import { ProblemList } from "./Problems";
import { Refused, ask, own } from "./api";
import { meet, settled } from "./save";
import { get } from "./store";
import type { Drawing, Plan, Theirs } from "./types";
import { choicesOf, labelOf } from "./view";
import { named, num, page, t } from "./words";

export function Publish({ onClose }: { onClose: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [before, setBefore] = useState<Drawing | null>(null);
  const [move, setMove] = useState("old");
  const [to, setTo] = useState<Record<string, string>>({});
  const [trouble, setTrouble] = useState("");
  const [include, setInclude] = useState(false);
  const [busy, setBusy] = useState(false);

  const load = async () => {
    if (!(await settled())) return setTrouble(get().theirs ? t("conflict_first") : t("not_saved"));
    try {
      setPlan(await ask<Plan>("GET", own("publish")));
      if (get().version) setBefore((await ask<{ graph: Drawing }>("GET", own(`versions/${get().version}`))).graph);
    } catch (problem) {
      setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
    }
  };
  useEffect(() => {
    box.current?.showModal();
    void load();
  }, []);

  const go = async () => {
    setBusy(true);
    try {
      await ask("POST", own("publish"), { revision: get().revision, move, to: move === "chosen" ? to : {}, include });
      location.assign(`/journeys/${page.slug}`);
    } catch (problem) {
      setBusy(false);
      if (problem instanceof Refused && problem.status === 409) {
        meet(problem.said as unknown as Theirs);
        onClose();
      } else setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
    }
  };
  const label = (node: string) => (get().graph.nodes[node] ? labelOf(get(), node) : named(before?.nodes[node]?.name, node));
  const errors = plan?.problems.filter((each) => each.level === "error") ?? [];
  const standing = plan?.changes.filter((each) => each.people > 0 && each.change !== "added") ?? [];
  const ready = plan && !errors.length && (move !== "chosen" || standing.every((each) => to[each.node]));
  return (
    <dialog ref={box} className="k-palette k-dialog d-dialog" aria-labelledby="d-publish" onClose={onClose}>
      <div className="k-card-head">
        <h2 id="d-publish">{plan ? t("publish_version", { n: num(plan.number) }) : t("publish")}</h2>
      </div>
      <div className="k-card-body">
        {!plan && !trouble && <p role="status">{t("looking")}</p>}
        {trouble && (
          <div className="k-note bad" role="alert">
            <Icon name="alert-triangle" />
            <span>{trouble}</span>
          </div>
        )}
        {plan && (
          <>
            <p>{errors.length ? t("mend_first") : plan.people ? t("people_under_way", { n: num(plan.people) }) : t("nobody_under_way")}</p>
            <ProblemList problems={plan.problems} />
            {!errors.length && plan.people > 0 && (
              <fieldset className="d-part">
                <legend className="form-label">{t("what_of_them")}</legend>
                {standing.map((each) => (
                  <p className="k-small" key={each.node + each.change}>
                    {t(`stand_${each.change}`, { n: num(each.people), step: label(each.node) })}
                  </p>
                ))}
                {plan.choices.map((each) => (
                  <label className="form-check" key={each}>
                    <input className="form-check-input" type="radio" name="move" value={each} checked={move === each} onChange={() => setMove(each)} />
                    <span className="form-check-label">{t(`do_${each}`)}</span>
                  </label>
                ))}
                {move === "chosen" && standing.map((each) => <Target key={each.node} node={each.node} label={label(each.node)} to={to} onChoose={setTo} />)}
              </fieldset>
            )}
            {!errors.length && plan.members !== null && (
              <div className="d-part">
                <label className="form-check">
                  <input className="form-check-input" type="checkbox" checked={include} onChange={(event) => setInclude(event.target.checked)} />
                  <span className="form-check-label">{t("include_members", { n: num(plan.members) })}</span>
                </label>
              </div>
            )}
            <Differences plan={plan} />
          </>
        )}
      </div>
      <div className="k-row k-end d-foot">
        <button type="button" className="btn" onClick={() => box.current?.close()}>
          {t("not_yet")}
        </button>
        <button type="button" className="btn btn-primary" disabled={!ready || busy} onClick={() => void go()}>
          {t("publish")}
        </button>
      </div>
    </dialog>
  );
}

/** Where those go who stand on a step that changed. */
function Target(props: { node: string; label: string; to: Record<string, string>; onChoose: (to: Record<string, string>) => void }) {
  const id = `d-to-${props.node}`;
  return (
    <div className="k-field">
      <label className="form-label" htmlFor={id}>
        {t("from_step", { step: props.label })}
      </label>
      <select className="form-select" id={id} value={props.to[props.node] ?? ""} onChange={(event) => props.onChoose({ ...props.to, [props.node]: event.target.value })}>
        <option value="">{t("choose_step")}</option>
        {choicesOf(get()).map(([each, words]) => (
          <option key={each} value={each}>
            {words}
          </option>
        ))}
      </select>
    </div>
  );
}

function Differences({ plan }: { plan: Plan }) {
  if (!plan.said.length || plan.number === 1) return null;
  return (
    <details className="k-fold" open={plan.said.length <= 8}>
      <summary>{t("differences", { n: num(plan.said.length) })}</summary>
      <ul className="d-said">
        {plan.said.map((each) => (
          <li key={each}>{each}</li>
        ))}
      </ul>
    </details>
  );
}
