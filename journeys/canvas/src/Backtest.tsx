// What the drawing would have done in a period: asked of the workers, its counts laid over the drawing.

import { useEffect, useState } from "react";
import { Icon } from "./Icon";
import { Refused, ask, own } from "./api";
import { get, set, use } from "./store";
import type { Lived } from "./types";
import { dayOf, num, page, t } from "./words";

const PERIODS = [7, 30, 90];
const LOOK = 1000; // ms between two looks at a running one
const WORKING = ["waiting", "running"];

export function Backtest() {
  const [days, setDays] = useState(30);
  const [lived, setLived] = useState<Lived | null>(null);
  const [trouble, setTrouble] = useState("");
  const shown = use((s) => s.lived !== null);
  const unsaved = use((s) => s.saving !== "saved");
  const working = lived !== null && WORKING.includes(lived.status);

  const hear = async (method: "GET" | "POST" | "DELETE", path: string, body?: unknown) => {
    try {
      const said = await ask<Lived>(method, own(path), body);
      setLived(said);
      setTrouble(said.error);
      if (said.status === "done") lay(said);
    } catch (problem) {
      setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
      setLived(null);
    }
  };
  useEffect(() => {
    if (!working) return;
    const timer = setTimeout(() => void hear("GET", `backtests/${lived.id}`), LOOK);
    return () => clearTimeout(timer);
  }, [lived]);

  return (
    <section aria-label={t("bt_title")} className="d-backtest">
      <div className="k-row k-row-wrap">
        <h2>{t("bt_title")}</h2>
        <span className="k-badge">{t("nothing_sent")}</span>
        <span className="k-push k-row d-tight">
          <label className="visually-hidden" htmlFor="d-period">
            {t("bt_period")}
          </label>
          <select className="form-select form-select-sm" id="d-period" value={days} disabled={working} onChange={(event) => setDays(Number(event.target.value))}>
            {PERIODS.map((each) => (
              <option key={each} value={each}>
                {t("bt_ago", { n: num(each) })}
              </option>
            ))}
          </select>
          {working ? (
            <button type="button" className="btn btn-sm" onClick={() => void hear("DELETE", `backtests/${lived.id}`)}>
              <Icon name="x" />
              {t("bt_cancel")}
            </button>
          ) : (
            <button type="button" className="btn btn-sm d-begin" disabled={unsaved} onClick={() => void hear("POST", "backtests", { days, draft: true })}>
              <Icon name="history" />
              {t("bt_run")}
            </button>
          )}
        </span>
      </div>
      {trouble && (
        <p className="d-wrong" role="alert">
          {trouble}
        </p>
      )}
      {working && <Progress lived={lived} />}
      {lived?.status === "done" && <Report lived={lived} shown={shown} />}
    </section>
  );
}

/** Put the counts on the drawing. */
function lay({ from, report }: Lived) {
  const { version, status } = get();
  set({ lived: { version: version ?? 0, status, since: from, started: report.started, nodes: {}, edges: report.edges, results: {} }, said: t("bt_said") });
}

function Progress({ lived }: { lived: Lived }) {
  const share = lived.total ? Math.floor((100 * lived.done) / lived.total) : 0;
  return (
    <div className="d-lived" aria-live="polite">
      <div className="k-meter" role="progressbar" aria-valuemin={0} aria-valuemax={100} aria-valuenow={share} aria-label={t("bt_running")}>
        <span style={{ inlineSize: `${share}%` }} />
      </div>
      <p className="k-small k-2nd">{t("bt_progress", { done: num(lived.done), total: num(lived.total) })}</p>
    </div>
  );
}

function Report({ lived, shown }: { lived: Lived; shown: boolean }) {
  const { report, words } = lived;
  const held = Object.entries(report.held);
  const { people, too_many } = report.collisions;
  return (
    <div className="d-lived k-small">
      <p>
        {report.started ? t("bt_entered", { people: num(report.entrants), runs: num(report.started) }) : t("bt_nobody")}
        {report.sent > 0 && <> · {t("bt_sent", { n: num(report.sent) })}</>}
      </p>
      {report.sent > 0 && <Days days={report.days} />}
      {report.started > 0 && (
        <ul className="k-plain" aria-label={t("bt_held")}>
          {held.map(([code, count]) => (
            <li key={code} className="k-row">
              <span className="k-grow">{words.held[code] ?? code}</span>
              <b>{num(count)}</b>
            </li>
          ))}
          <li className={people ? "k-row" : "k-3rd"}>{people ? t("bt_collisions_said", { too_many: num(too_many), people: num(people) }) : t("bt_collisions_none", { n: num(too_many) })}</li>
        </ul>
      )}
      <div className="k-row k-row-wrap">
        <a href={own(`backtest/${lived.id}`)}>{t("bt_more")}</a>
        <button type="button" className="btn btn-sm k-btn-quiet k-push" aria-pressed={shown} onClick={() => (shown ? set({ lived: null }) : lay(lived))}>
          {t(shown ? "bt_hide" : "bt_show")}
        </button>
      </div>
    </div>
  );
}

/** A bar for each day with messages; time runs from left to right in both languages. */
function Days({ days }: { days: Record<string, Record<string, number>> }) {
  const sums = Object.entries(days).map(([day, by]) => [day, Object.values(by).reduce((all, each) => all + each, 0)] as const);
  const first = Date.parse(sums[0]![0]);
  const placed = sums.map(([day, count]) => [day, count, Math.round((Date.parse(day) - first) / 86_400_000)] as const);
  const most = Math.max(...sums.map(([, count]) => count));
  const wide = placed.at(-1)![2] + 1;
  return (
    <figure className="d-days" dir="ltr">
      <svg className="k-days" viewBox={`0 0 ${wide * 10} 100`} preserveAspectRatio="none" role="img" aria-label={`${t("bt_days")}, ${t("bt_most", { n: num(most) })}`}>
        {placed.map(([day, count, place]) => (
          <rect key={day} x={place * 10 + 1} width={8} y={100 - (96 * count) / most} height={(96 * count) / most}>
            <title>{t("bt_on", { day: dayOf(day), n: num(count) })}</title>
          </rect>
        ))}
      </svg>
      <figcaption className="k-tiny k-3rd" dir={page.rtl ? "rtl" : "ltr"}>
        {t("bt_days")}, {t("bt_most", { n: num(most) })}
      </figcaption>
    </figure>
  );
}
