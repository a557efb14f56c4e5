// Every word on the screen comes from the page, which took it from the catalogue of its language.

interface Page {
  slug: string;
  language: string;
  region: string;
  timezone: string;
  rtl: boolean;
  icons: string;
  mirrored: string[];
  csrf: string;
  words: Record<string, string>;
}

export const page: Page = JSON.parse(document.getElementById("designer-page")!.textContent!);

/** The sentence of this key, with named slots filled. */
export function t(key: string, slots: Record<string, string | number> = {}): string {
  return (page.words[key] ?? key).replace(/%\((\w+)\)s/g, (_, name: string) => String(slots[name] ?? ""));
}

/** A name by language: the page's, else any. */
export function named(names: Record<string, string> | undefined, otherwise: string): string {
  return names?.[page.language] || Object.values(names ?? {}).find(Boolean) || otherwise;
}

const numbers = new Intl.NumberFormat(page.region);
const clock = new Intl.DateTimeFormat(page.region, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: page.timezone });
const dayAndClock = new Intl.DateTimeFormat(page.region, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: page.timezone });

export const num = (value: number) => numbers.format(value);
export const time = (iso: string) => clock.format(new Date(iso));
const onlyDay = new Intl.DateTimeFormat(page.region, { day: "numeric", month: "short", timeZone: "UTC" });

export const dayOf = (date: string) => onlyDay.format(new Date(date));
export const moment = (iso: string) => dayAndClock.format(new Date(iso));
