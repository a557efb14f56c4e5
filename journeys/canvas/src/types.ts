// What the server says and stores. A drawing is the journey as in its YAML file; the layout lies beside it.

export type Names = Record<string, string>;
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Settings = { [key: string]: Json };

export interface Part {
  kind: string;
  schema?: number;
  settings?: Settings;
}

export interface Step extends Part {
  exits?: Record<string, string>;
  name?: Names;
}

export interface Drawing {
  name: Names;
  trigger: Part;
  entry: string;
  nodes: Record<string, Step>;
  [more: string]: unknown;
}

export type Layout = Record<string, [number, number]>;

export interface Way {
  name: string;
  label: string;
}

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  format?: string;
  pattern?: string;
  default?: Json;
  const?: Json;
  enum?: Json[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  discriminator?: { propertyName: string; mapping: Record<string, string> };
  $ref?: string;
  $defs?: Record<string, Schema>;
  "x-suggest"?: string;
  "x-only"?: Record<string, string[]>; // drawn only where another field says one of these
  "x-by"?: Record<string, Record<string, Partial<Schema> | null>>; // drawn otherwise, or not at all, by what another field says
  "x-words"?: Record<string, string>;
}

export interface Kind {
  kind: string;
  title: string;
  icon: string;
  group?: string;
  settings_schema: number;
  schema: Schema;
  settings: Settings; // a new one begins so
  exits: Way[];
}

export interface Choice {
  value: string;
  label: string;
}

export interface Palette {
  nodes: Kind[];
  triggers: Kind[];
  journey: Schema; // what holds for the whole journey: what ends it, who may come again, who is left out
  lists: Record<string, Choice[]>;
}

export interface Look {
  nodes: Record<string, { summary?: string; exits: Way[] }>;
  trigger?: { title?: string; summary?: string; icon?: string } | null;
  problems: Problem[];
}

export interface Problem {
  node: string | null;
  field: string | null;
  level: "error" | "warning";
  text: string;
  example?: string;
}

export interface Draft {
  slug: string;
  status: string;
  version: number | null;
  graph: Drawing;
  layout: Layout;
  revision: number;
  saved_at: string | null;
  saved_by: string | null;
  look: Look;
}

export interface Theirs {
  revision: number;
  saved_at: string;
  saved_by: string | null;
  graph: Drawing;
  layout: Layout;
}

export interface Counts {
  version: number;
  status: string;
  since: string;
  started: number;
  results: Record<string, string>; // what experiments have shown, by step
  nodes: Record<string, number>; // who stands there now
  edges: Record<string, number>; // "node/way" -> how often taken
}

export interface Lived {
  id: number;
  status: string;
  error: string;
  from: string;
  done: number;
  total: number;
  report: {
    entrants: number;
    started: number;
    sent: number;
    edges: Record<string, number>;
    days: Record<string, Record<string, number>>; // day -> channel -> messages
    held: Record<string, number>;
    collisions: { too_many: number; people?: number };
  };
  words: { held: Record<string, string> };
}

export interface Plan {
  number: number;
  problems: Problem[];
  changes: { node: string; change: "changed" | "removed" | "added" | "ways"; people: number }[];
  people: number;
  said: string[]; // what the draft says differently, in sentences
  choices: string[];
  members: number | null; // in the segment it begins with, where those may be included
}

export interface Happening {
  at: string;
  name: string;
  properties?: Record<string, Json> | null;
}

export interface Line {
  at: string;
  kind: "event" | "start" | "step" | "message" | "end" | "refused";
  run?: string;
  node?: string;
  exit?: string;
  text: string;
  channel?: string;
}

export interface Told {
  runs: boolean; // whether the drawing can run at all
  stories: { name: string; title: string; traits: Settings; segments: string[]; events: Happening[]; problems: string[] }[];
}

export interface Trial {
  start: string;
  timeline: Line[];
  runs: { key: string; status: string; node: string; end_reason: string | null; due_at: string | null }[];
}
