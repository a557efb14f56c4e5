// What stands in the way of publishing; each problem leads to its step.

import { Icon } from "./Icon";
import { focusNode } from "./keys";
import { set, use } from "./store";
import type { Problem } from "./types";
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
    </section>
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
