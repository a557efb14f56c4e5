// A form drawn from a JSON Schema: labels, limits and help come from the fields of the step's class.

import { useEffect, useId, useState, type ReactNode } from "react";
import { Icon, IconButton } from "./Icon";
import { RuleField } from "./Rule";
import { get, use } from "./store";
import type { Json, Problem, Schema, Settings } from "./types";
import { wordsFor } from "./view";
import { t } from "./words";

interface Field {
  schema: Schema;
  root: Schema; // where $ref leads
  value: Json | undefined;
  path: string;
  problems: Problem[];
  onChange: (value: Json | undefined, path: string) => void;
}

/** Every field of an object, the required ones first as the class has them. */
export function Fields({ schema, root, value, path, problems, onChange }: Field) {
  const whole = (value ?? {}) as Settings;
  const fields = resolve(schema, root).properties ?? {};
  return (
    <>
      {shown(fields, whole).map(([name, inner]) => (
        <OneField
          key={name}
          schema={inner}
          root={root}
          value={whole[name]}
          path={path ? `${path}.${name}` : name}
          problems={problems}
          onChange={(next, where) => {
            const { [name]: _, ...rest } = without(whole, leaning(fields, name));
            onChange(next === undefined ? rest : { ...rest, [name]: next }, where);
          }}
        />
      ))}
    </>
  );
}

/** The fields that are needed as things stand: some are drawn only, or otherwise, where another says so. */
function shown(fields: Record<string, Schema>, whole: Settings): [string, Schema][] {
  const said = (other: string) => String(whole[other] ?? fields[other]?.default ?? "");
  return Object.entries(fields).flatMap(([name, inner]): [string, Schema][] => {
    if (Object.entries(inner["x-only"] ?? {}).some(([other, values]) => !values.includes(said(other)))) return [];
    const patches = Object.entries(inner["x-by"] ?? {}).map(([other, by]) => by[said(other)]);
    return patches.includes(null) ? [] : [[name, Object.assign({}, inner, ...patches)]];
  });
}

/** Fields that mean something else, or nothing, once this one is changed: they begin anew. */
const leaning = (fields: Record<string, Schema>, name: string) => Object.keys(fields).filter((other) => name in { ...fields[other]!["x-only"], ...fields[other]!["x-by"] });
const without = (whole: Settings, names: string[]): Settings => Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name)));

function OneField(props: Field) {
  const id = useId();
  const schema = resolve(props.schema, props.root);
  const wrong = props.problems.filter((each) => each.field === props.path || (isLeaf(schema, props.root) && each.field?.startsWith(`${props.path}.`)));
  const title = props.schema.title ?? schema.title ?? last(props.path);
  const help = props.schema.description ?? schema.description;
  const about = [help && `${id}-help`, wrong.length && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const notes = (
    <>
      {help && (
        <p className="k-hint" id={`${id}-help`}>
          {help}
        </p>
      )}
      {wrong.length > 0 && (
        <p className="d-wrong" id={`${id}-wrong`}>
          {wrong.map((each) => wordsFor(get(), each, true)).join(" ")}
        </p>
      )}
    </>
  );
  if (isYesNo(schema, props.root))
    return (
      <div className="k-field">
        <label className="form-check d-check">
          <input className="form-check-input" type="checkbox" checked={Boolean(props.value ?? props.schema.default ?? schema.default)} aria-describedby={about} onChange={(event) => props.onChange(event.target.checked, props.path)} />
          <span className="form-check-label">{title}</span>
        </label>
        {notes}
      </div>
    );
  const many = kindOf(schema, props.root) === "list" || kindOf(schema, props.root) === "object" || kindOf(schema, props.root) === "map";
  return (
    <div className="k-field" role={many ? "group" : undefined} aria-label={many ? title : undefined}>
      {many ? (
        <span className="form-label">{title}</span>
      ) : (
        <label className="form-label" htmlFor={id}>
          {title}
        </label>
      )}
      <Control {...props} schema={schema} outer={props.schema} id={id} about={about} wrong={wrong.length > 0} />
      {notes}
    </div>
  );
}

type Inner = Field & { id: string; about: string | undefined; wrong: boolean; outer: Schema };

function Control(props: Inner): ReactNode {
  const { schema, root } = props;
  switch (kindOf(schema, root)) {
    case "choice":
      return <Select {...props} />;
    case "duration":
      return <DurationField {...props} />;
    case "number":
      return <NumberField {...props} />;
    case "list":
      return <ListField {...props} />;
    case "object":
      return isOptional(schema) ? (
        <PerhapsField {...props} />
      ) : (
        <div className="d-group">
          <Fields {...props} />
        </div>
      );
    case "variant":
      return <VariantField {...props} />;
    case "map":
      return <MapField {...props} />;
    default:
      return <TextField {...props} />;
  }
}

function Select({ schema, root, outer, value, path, onChange, id, about, wrong }: Inner) {
  const empty = isOptional(schema) || (value ?? outer.default ?? schema.default) === undefined;
  const inner = content(schema, root);
  const given = value === undefined ? (outer.default ?? schema.default ?? null) : value;
  const words = outer["x-words"] ?? schema["x-words"] ?? inner["x-words"] ?? {};
  return (
    <select className="form-select" id={id} aria-describedby={about} aria-invalid={wrong} value={given === null ? "" : String(given)} onChange={(event) => onChange((inner.enum ?? []).find((each) => String(each) === event.target.value), path)}>
      {empty && <option value="">{t("not_set")}</option>}
      {(inner.enum ?? [inner.const!]).map((each) => (
        <option key={String(each)} value={String(each)}>
          {words[String(each)] ?? String(each)}
        </option>
      ))}
    </select>
  );
}

function TextField({ schema, root, outer, value, path, onChange, id, about, wrong }: Inner) {
  const inner = content(schema, root);
  const topic = outer["x-suggest"] ?? schema["x-suggest"] ?? inner["x-suggest"] ?? "";
  const list = use((s) => s.palette.lists)[topic];
  const given = value ?? outer.default ?? schema.default ?? "";
  const put = (text: string) => onChange(text === "" && (isOptional(schema) || value === undefined) ? undefined : text, path);
  const words = list?.find((each) => each.value === given && each.label !== each.value)?.label;
  if (topic === "rrule") return <RuleField id={id} value={String(given)} about={about} wrong={wrong} onChange={put} />;
  const shared = { className: "form-control", id, "aria-describedby": about, "aria-invalid": wrong, dir: "auto", value: String(given) };
  const types: Record<string, string> = { date: "date", time: "time", email: "email", uri: "url" };
  if (!list && (inner.maxLength ?? 0) > 300) return <textarea {...shared} rows={3} onChange={(event) => put(event.target.value)} />;
  return (
    <>
      <input {...shared} type={types[inner.format ?? ""] ?? "text"} list={list && `${id}-list`} maxLength={inner.maxLength} autoComplete="off" onChange={(event) => put(list?.find((each) => each.label === event.target.value)?.value ?? event.target.value)} />
      {list && <Suggestions id={`${id}-list`} list={list} />}
      {words && (
        <p className="k-hint d-means">
          <bdi>{words}</bdi>
        </p>
      )}
    </>
  );
}

function Suggestions({ id, list }: { id: string; list: { value: string; label: string }[] }) {
  return (
    <datalist id={id}>
      {list.map((each) => (
        <option key={each.value} value={each.value} label={each.label === each.value ? undefined : each.label} />
      ))}
    </datalist>
  );
}

function NumberField({ schema, root, outer, value, path, onChange, id, about, wrong }: Inner) {
  const inner = content(schema, root);
  const given = value ?? outer.default ?? schema.default ?? "";
  const whole = inner.type === "integer";
  return (
    <input className="form-control d-number" id={id} type="number" aria-describedby={about} aria-invalid={wrong} min={inner.minimum ?? inner.exclusiveMinimum} max={inner.maximum ?? inner.exclusiveMaximum} step={whole ? 1 : "any"} value={given === null ? "" : String(given)} onChange={(event) => onChange(event.target.value === "" ? undefined : Number(event.target.value), path)} />
  );
}

const UNITS = ["s", "m", "h", "d", "w"];

function DurationField({ schema, outer, value, path, onChange, id, about, wrong }: Inner) {
  const given = String(value ?? outer.default ?? schema.default ?? "");
  const read = /^(\d*)\s*([smhdw])?$/.exec(given);
  const [unit, setUnit] = useState(read?.[2] ?? "h");
  useEffect(() => {
    if (read?.[2]) setUnit(read[2]);
  }, [read?.[2]]);
  const put = (amount: string, of: string) => {
    setUnit(of);
    onChange(amount === "" ? undefined : `${amount}${of}`, path);
  };
  return (
    <div className="k-row">
      <input className="form-control d-amount" id={id} type="number" min={0} step={1} inputMode="numeric" aria-describedby={about} aria-invalid={wrong} value={read?.[1] ?? ""} onChange={(event) => put(event.target.value, unit)} />
      <select className="form-select" aria-label={t("unit")} value={unit} onChange={(event) => put(read?.[1] ?? "", event.target.value)}>
        {UNITS.map((each) => (
          <option key={each} value={each}>
            {t(`unit_${each}`)}
          </option>
        ))}
      </select>
    </div>
  );
}

function ListField({ schema, root, value, path, problems, onChange, outer }: Inner) {
  const inner = content(schema, root);
  const item = inner.items ?? {};
  const all = (value ?? outer.default ?? schema.default ?? []) as Json[];
  const full = all.length >= (inner.maxItems ?? Infinity);
  const from = outer["x-suggest"] ?? schema["x-suggest"] ?? inner["x-suggest"];
  const one = from && !item["x-suggest"] ? { ...item, "x-suggest": from } : item;
  const simple = isLeaf(resolve(one, root), root);
  const put = (at: number, next: Json | undefined, where: string) => onChange(all.map((each, index) => (index === at ? (next ?? "") : each)), where);
  return (
    <div className="k-stack d-list">
      {all.map((each, index) => {
        const at = `${path}.${index}`;
        const drop = <IconButton icon="trash" label={t("remove")} onClick={() => onChange(all.filter((_, other) => other !== index), `${at}.gone`)} />;
        return simple ? (
          <div className="k-row" key={index}>
            <Bare schema={one} root={root} value={each} path={at} problems={problems} onChange={(next, where) => put(index, next, where)} label={`${outer.title ?? last(path)} ${index + 1}`} />
            {drop}
          </div>
        ) : (
          <div className="d-group" key={index}>
            <div className="d-group-end">{drop}</div>
            <Fields schema={one} root={root} value={each} path={at} problems={problems} onChange={(next, where) => put(index, next, where)} />
          </div>
        );
      })}
      {!full && (
        <button type="button" className="btn btn-sm k-btn-quiet d-more" onClick={() => onChange([...all, blank(one, root)], `${path}.more`)}>
          <Icon name="plus" />
          {t("add_one")}
        </button>
      )}
    </div>
  );
}

/** One entry of a list: no label of its own. */
function Bare(props: Field & { label: string }) {
  const id = useId();
  const schema = resolve(props.schema, props.root);
  const wrong = props.problems.filter((each) => each.field === props.path);
  return (
    <div className="k-grow">
      <label className="visually-hidden" htmlFor={id}>
        {props.label}
      </label>
      <Control {...props} schema={schema} outer={props.schema} id={id} about={undefined} wrong={wrong.length > 0} />
      {wrong.length > 0 && <p className="d-wrong">{wrong.map((each) => wordsFor(get(), each, true)).join(" ")}</p>}
    </div>
  );
}

function VariantField({ schema, root, value, path, problems, onChange, id, about }: Inner) {
  const inner = content(schema, root);
  const options = (inner.oneOf ?? inner.anyOf ?? []).map((each) => resolve(each, root)).filter((each) => each.type !== "null");
  const tag = inner.discriminator?.propertyName ?? "kind";
  const tagOf = (each: Schema) => String(each.properties?.[tag]?.const ?? each.properties?.[tag]?.enum?.[0] ?? each.title ?? "");
  const now = (value ?? {}) as Settings;
  const chosen = options.find((each) => tagOf(each) === now[tag]) ?? (isOptional(schema) && !value ? undefined : options[0]);
  const { [tag]: _, ...rest } = chosen?.properties ?? {};
  return (
    <div className="d-group">
      <select className="form-select" id={id} aria-describedby={about} value={chosen ? tagOf(chosen) : ""} onChange={(event) => onChange(event.target.value ? { [tag]: event.target.value } : undefined, path)}>
        {isOptional(schema) && <option value="">{t("not_set")}</option>}
        {options.map((each) => (
          <option key={tagOf(each)} value={tagOf(each)}>
            {each.title ?? tagOf(each)}
          </option>
        ))}
      </select>
      {chosen && <Fields schema={{ ...chosen, properties: rest }} root={root} value={now} path={path} problems={problems} onChange={(next, where) => onChange({ ...(next as Settings), [tag]: tagOf(chosen) }, where)} />}
    </div>
  );
}

/** A group of fields that may be left out as a whole. */
function PerhapsField({ schema, root, value, path, problems, onChange, outer }: Inner) {
  const inner = content(schema, root);
  const on = value !== undefined && value !== null;
  return (
    <>
      <label className="form-check d-check">
        <input className="form-check-input" type="checkbox" checked={on} onChange={(event) => onChange(event.target.checked ? blank(inner, root) : undefined, path)} />
        <span className="form-check-label">{t("set_it", { what: outer.title ?? last(path) })}</span>
      </label>
      {on && (
        <div className="d-group">
          <Fields schema={inner} root={root} value={value} path={path} problems={problems} onChange={onChange} />
        </div>
      )}
    </>
  );
}

function MapField({ value, path, onChange, outer }: Inner) {
  const rows = Object.entries((value ?? outer.default ?? {}) as Settings);
  const put = (next: [string, Json][], where: string) => onChange(Object.fromEntries(next), where);
  return (
    <div className="k-stack d-list">
      {rows.map(([name, each], index) => (
        <div className="k-row" key={index}>
          <input className="form-control" dir="auto" aria-label={t("name")} value={name} onChange={(event) => put(rows.map((row, at) => (at === index ? [event.target.value, row[1]] : row)), path)} />
          <input className="form-control" dir="auto" aria-label={t("value")} value={typeof each === "object" ? JSON.stringify(each) : String(each)} onChange={(event) => put(rows.map((row, at) => (at === index ? [name, event.target.value] : row)), path)} />
          <IconButton icon="trash" label={t("remove")} onClick={() => put(rows.filter((_, at) => at !== index), `${path}.gone`)} />
        </div>
      ))}
      <button type="button" className="btn btn-sm k-btn-quiet d-more" onClick={() => put([...rows, ["", ""]], `${path}.more`)}>
        <Icon name="plus" />
        {t("add_one")}
      </button>
    </div>
  );
}

function resolve(schema: Schema, root: Schema): Schema {
  if (!schema.$ref) return schema;
  const { $ref, ...more } = schema;
  return { ...root.$defs?.[$ref.split("/").at(-1)!], ...more };
}

const isOptional = (schema: Schema) => Boolean(schema.anyOf?.some((each) => each.type === "null") || schema.oneOf?.some((each) => each.type === "null"));

/** What is inside "this or nothing". */
function content(schema: Schema, root: Schema): Schema {
  const inner = schema.anyOf?.filter((each) => each.type !== "null");
  if (inner?.length === 1) return resolve(inner[0]!, root);
  return schema;
}

type Control = "text" | "choice" | "number" | "yesno" | "duration" | "list" | "object" | "variant" | "map";

function kindOf(schema: Schema, root: Schema): Control {
  const inner = content(schema, root);
  if (inner.enum || inner.const !== undefined) return "choice";
  if (inner.format === "kesher-duration") return "duration";
  const options = inner.oneOf ?? inner.anyOf;
  if (options) return options.some((each) => resolve(each, root).properties) ? "variant" : "text"; // a scalar of any type is written as text
  if (inner.type === "boolean") return "yesno";
  if (inner.type === "integer" || inner.type === "number") return "number";
  if (inner.type === "array") return "list";
  if (inner.properties) return "object";
  return inner.type === "object" ? "map" : "text";
}

const isYesNo = (schema: Schema, root: Schema) => kindOf(schema, root) === "yesno";
const isLeaf = (schema: Schema, root: Schema) => ["text", "choice", "number", "duration", "yesno"].includes(kindOf(schema, root));
const last = (path: string) => path.split(".").at(-1) ?? path;

/** What a new entry of a list begins with. */
function blank(schema: Schema, root: Schema): Json {
  const inner = resolve(schema, root);
  if (inner.default !== undefined) return inner.default;
  const kind = kindOf(inner, root);
  if (kind === "object") return Object.fromEntries((inner.required ?? []).map((name) => [name, blank(inner.properties![name]!, root)]));
  if (kind === "list") return (inner.minItems ?? 0) > 0 ? [blank(inner.items ?? {}, root)] : [];
  if (kind === "choice") return inner.enum?.[0] ?? inner.const ?? "";
  if (kind === "number") return inner.minimum ?? 1;
  if (kind === "yesno") return false;
  return kind === "map" || kind === "variant" ? {} : "";
}
