// How often a schedule comes, without a word of a calendar's grammar: a rhythm to choose, or one put together.

import { useState } from "react";
import { START } from "./graph";
import { use } from "./store";
import { summaryOf } from "./view";
import { page, t } from "./words";

const UNITS = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const WEEK = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const day = new Intl.DateTimeFormat(page.region, { weekday: "long", timeZone: "UTC" });
const month = new Intl.DateTimeFormat(page.region, { month: "long", timeZone: "UTC" });
const dayName = (at: number) => day.format(Date.UTC(2026, 1, 1 + at)); // which was a Sunday
const monthName = (at: number) => month.format(Date.UTC(2026, at, 1));

interface Control {
  id: string;
  value: string;
  about: string | undefined;
  wrong: boolean;
  onChange: (rule: string) => void;
}

export function RuleField({ id, value, about, wrong, onChange }: Control) {
  const ready = use((s) => s.palette.lists.rrule) ?? [];
  const said = use((s) => summaryOf(s, START));
  const rule = value.toUpperCase().replace(/^RRULE:/, "");
  const [asked, ask] = useState(false);
  const own = asked || !ready.some((each) => each.value === rule); // what is undone, or comes from elsewhere, is shown as it is
  return (
    <>
      <select className="form-select" id={id} aria-describedby={about} aria-invalid={wrong} value={own ? "" : rule} onChange={(event) => (event.target.value ? (ask(false), onChange(event.target.value)) : ask(true))}>
        {ready.map((each) => (
          <option key={each.value} value={each.value}>
            {each.label}
          </option>
        ))}
        <option value="">{t("rule_own")}</option>
      </select>
      {own && <Own rule={rule} onChange={(next) => (ask(true), onChange(next))} />}
      {said && <p className="k-hint">{said}</p>}
    </>
  );
}

/** Every so many weeks, in these months, on these days; what else a rule says is kept. */
function Own({ rule, onChange }: { rule: string; onChange: (rule: string) => void }) {
  const parts = new Map(rule.split(";").map((each) => each.split("=") as [string, string]));
  const often = parts.get("FREQ") ?? "WEEKLY";
  const put = (name: string, next: string) => {
    const changed = new Map(parts);
    if (next) changed.set(name, next);
    else changed.delete(name);
    if (name === "FREQ" && next === "DAILY") for (const each of ["BYDAY", "BYMONTHDAY"]) changed.delete(each);
    if (name === "FREQ" && next === "WEEKLY") changed.delete("BYMONTHDAY");
    onChange([...changed].map(([key, said]) => `${key}=${said}`).join(";"));
  };
  const months = parts.get("BYMONTH") ?? ""; // several, perhaps: shown as they are written
  const days = (parts.get("BYDAY") ?? "").split(",").filter(Boolean);
  const turn = (which: string) => put("BYDAY", (days.some((each) => each.endsWith(which)) ? days.filter((each) => !each.endsWith(which)) : [...days, which]).join(","));
  return (
    <div className="d-group k-stack d-list">
      <div className="k-row">
        <span className="k-small">{t("rule_every")}</span>
        <input className="form-control d-amount" type="number" min={1} aria-label={t("rule_every")} value={parts.get("INTERVAL") ?? "1"} onChange={(event) => put("INTERVAL", Number(event.target.value) > 1 ? event.target.value : "")} />
        <select className="form-select" aria-label={t("unit")} value={often} onChange={(event) => put("FREQ", event.target.value)}>
          {UNITS.map((each) => (
            <option key={each} value={each}>
              {t(`rule_${each}`)}
            </option>
          ))}
        </select>
      </div>
      {often === "YEARLY" && (
        <select className="form-select" aria-label={t("rule_month")} value={months} onChange={(event) => put("BYMONTH", event.target.value)}>
          <option value="">{t("rule_any_month")}</option>
          {!/^([1-9]|1[0-2])?$/.test(months) && <option value={months}>{months}</option>}
          {Array.from({ length: 12 }, (_, at) => (
            <option key={at} value={at + 1}>
              {monthName(at)}
            </option>
          ))}
        </select>
      )}
      {(often === "MONTHLY" || often === "YEARLY") && (
        <label className="k-small">
          {t("rule_dates")}
          <input className="form-control" dir="ltr" inputMode="numeric" value={parts.get("BYMONTHDAY") ?? ""} onChange={(event) => put("BYMONTHDAY", event.target.value.replace(/[^0-9,-]/g, ""))} />
        </label>
      )}
      {often !== "DAILY" && (
        <div role="group" aria-label={t("rule_weekdays")}>
          {WEEK.map((each, at) => (
            <label className="form-check" key={each}>
              <input className="form-check-input" type="checkbox" checked={days.some((one) => one.endsWith(each))} onChange={() => turn(each)} />
              <span className="form-check-label">{dayName(at)}</span>
            </label>
          ))}
        </div>
      )}
      <details className="k-fold">
        <summary>{t("rule_raw")}</summary>
        <input className="form-control" dir="ltr" autoComplete="off" aria-label={t("rule_raw")} maxLength={200} value={rule} onChange={(event) => onChange(event.target.value)} />
      </details>
    </div>
  );
}
