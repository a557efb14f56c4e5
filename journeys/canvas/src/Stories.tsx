// Stories kept beside the journey: told again over the drawing as it is stored, each with what came out otherwise.

import { useEffect, useState, type FormEvent } from "react";
import { Icon, IconButton } from "./Icon";
import { Refused, ask, own } from "./api";
import { settled } from "./save";
import { set, use } from "./store";
import type { Happening, Told } from "./types";
import { num, t } from "./words";

let turn: Promise<void> = Promise.resolve(); // one is asked after the other is answered: what comes late must not show what is no longer so

export function Stories({ tried, inside, onPlay }: { tried: Happening[]; inside: string[]; onPlay: (story: Told["stories"][number]) => void }) {
  const revision = use((s) => s.revision);
  const [told, setTold] = useState<Told | null>(null);
  const [name, setName] = useState("");
  const [trouble, setTrouble] = useState("");
  const hear = (method: "GET" | "POST" | "DELETE", body?: unknown) => (turn = turn.then(() => asked(method, body)));
  const asked = async (method: "GET" | "POST" | "DELETE", body?: unknown) => {
    try {
      setTold(await ask<Told>(method, own("stories"), body));
      setTrouble("");
    } catch (problem) {
      setTrouble(problem instanceof Refused ? problem.message : t("no_answer"));
    }
  };
  useEffect(() => void hear("GET"), [revision]);
  const keep = async (event: FormEvent) => {
    event.preventDefault();
    if (!(await settled())) return setTrouble(t("not_saved"));
    await hear("POST", { name, events: tried, segments: inside });
    setName("");
    set({ said: t("story_kept") });
  };
  const wrong = told?.stories.filter((each) => each.problems.length).length ?? 0;
  if (!told) return trouble ? <p className="d-wrong">{trouble}</p> : null;
  return (
    <details className="k-fold d-stories">
      <summary>
        {t("stories")} {told.stories.length > 0 && told.runs && <span className={`k-badge ${wrong ? "bad" : "ok"}`}>{wrong ? t("stories_fail", { n: num(wrong), all: num(told.stories.length) }) : t("stories_hold", { n: num(told.stories.length) })}</span>}
      </summary>
      {!told.stories.length && <p className="k-small k-3rd">{t("no_stories")}</p>}
      {!told.runs && <p className="k-small k-3rd">{t("stories_wait")}</p>}
      <ul className="k-plain k-lint">
        {told.stories.map((each) => (
          <li key={each.name} data-story={each.name}>
            {told.runs && <Icon name={each.problems.length ? "circle-x-filled" : "circle-check-filled"} className={each.problems.length ? "k-bad" : "k-ok"} />}
            <span className="k-grow">
              <button type="button" className="k-link" onClick={() => onPlay(each)}>
                <bdi>{each.title}</bdi>
              </button>
              {each.problems.map((said) => (
                <span key={said} className="k-3rd d-example">
                  {said}
                </span>
              ))}
            </span>
            <IconButton icon="trash" label={t("remove_story", { name: each.title })} onClick={() => void hear("DELETE", { name: each.name })} />
          </li>
        ))}
      </ul>
      {tried.length > 0 && (
        <form className="k-row k-row-wrap d-happen" onSubmit={(event) => void keep(event)}>
          <label className="visually-hidden" htmlFor="d-story">
            {t("story_name")}
          </label>
          <input className="form-control" id="d-story" dir="auto" required maxLength={120} placeholder={t("story_name")} value={name} onChange={(event) => setName(event.target.value)} />
          <button className="btn btn-sm">{t("keep_story")}</button>
        </form>
      )}
      {trouble && (
        <p className="d-wrong" role="alert">
          {trouble}
        </p>
      )}
    </details>
  );
}
