// What stands in the way of publishing; each problem leads to its step.

import { useState } from "react";
import { Icon } from "./Icon";
import { Refused, ask, own } from "./api";
import { focusNode } from "./keys";
import { settled } from "./save";
import { get, set, use } from "./store";
import type { Drawing, Problem } from "./types";
import { labelOf, placeOf, wordsFor } from "./view";
import { num, t } from "./words";

export function Problems() {
  const problems = use((s) => s.look.problems);
  const errors = problems.filter((each) => each.level === "error").length;
  const advice = problems.length - errors;
  return (
    <section aria-label={t("check")}>
      <div className="k-row k-row-wrap">
        <h2>{t("check")}</h2>
        {errors > 0 && <span className="k-badge bad">{t("problems_n", { n: num(errors) })}</span>}
        {advice > 0 && <span className="k-badge warn">{t("advice_n", { n: num(advice) })}</span>}
        {!problems.length && <span className="k-badge ok">{t("no_problems")}</span>}
      </div>
      <ProblemList problems={problems} />
      {!errors && <AmongPeople />}
    </section>
  );
}

interface Seen {
  of: Drawing;
  people: number;
  problems: Problem[];
}

/** What only those it would reach can show; read when asked for, and gone once the drawing is another. */
function AmongPeople() {
  const graph = use((s) => s.graph);
  const [seen, setSeen] = useState<Seen | null>(null);
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const found = seen?.of === graph ? seen : null;
  const look = async () => {
    setBusy(true);
    setTrouble("");
    try {
      if (!(await settled())) throw new Error();
      const of = get().graph;
      setSeen({ ...(await ask<Omit<Seen, "of">>("GET", own("check"))), of });
    } catch (problem) {
      setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
    }
    setBusy(false);
  };
  const said = !found ? "" : !found.people ? t("check_nobody") : t(found.problems.length ? "check_people_n" : "check_ok_n", { n: num(found.people) });
  return (
    <div className="d-among">
      <p className="k-small k-3rd" role="status">
        {busy ? t("looking_people") : said}
      </p>
      {!!found?.problems.length && <ProblemList problems={found.problems} />}
      {trouble && (
        <p className="d-wrong" role="alert">
          {trouble}
        </p>
      )}
      <button type="button" className="btn btn-sm" disabled={busy} onClick={() => void look()}>
        {t(found ? "check_again" : "check_people")}
      </button>
    </div>
  );
}

export function ProblemList({ problems }: { problems: Problem[] }) {
  return (
    <ul className="k-plain k-lint">
      {problems.map((each, index) => (
        <OneProblem key={index} problem={each} />
      ))}
    </ul>
  );
}

function OneProblem({ problem }: { problem: Problem }) {
  const id = placeOf(problem);
  const label = use((s) => (id ? labelOf(s, id) : ""));
  const said = use((s) => wordsFor(s, problem));
  return (
    <li>
      <Icon name={problem.level === "error" ? "circle-x-filled" : "alert-triangle"} className={problem.level === "error" ? "k-bad" : "k-warn"} />
      <span>
        {id && (
          <button
            type="button"
            className="k-link"
            onClick={() => {
              set({ selected: [id], place: null, form: true });
              focusNode(id);
            }}
          >
            <b>
              <bdi>{label}</bdi>
            </b>
          </button>
        )}{" "}
        {said}
        {problem.example && <span className="k-3rd d-example">{problem.example}</span>}
      </span>
    </li>
  );
}
