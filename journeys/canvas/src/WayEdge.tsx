// A way between two steps: down, across, down; its words are HTML, so that Hebrew reads well and a screen reader finds them.

import { BaseEdge, EdgeLabelRenderer, type EdgeProps } from "@xyflow/react";
import { memo } from "react";
import { choose } from "./StepNode";
import { START } from "./graph";
import { path, WIDE, type Point } from "./layout";
import { use } from "./store";
import type { Counts } from "./types";
import { num, page, t } from "./words";

const HALF = 5; // px a handle reaches over the edge of its step

export interface WayData {
  node: string;
  way: string;
  open: boolean;
  label: string;
  chosen: boolean;
  trod: boolean;
  bends: Point[] | undefined;
  at: Point | undefined;
}

export const WayEdge = memo(function WayEdge({ id, sourceX, sourceY, targetX, targetY, data }: EdgeProps) {
  const { node, way, open, label, chosen, trod, bends, at } = data as unknown as WayData;
  const count = use((s) => countOf(s.lived ?? s.counts, node, way));
  const [drawn, middle] = lead({ x: sourceX, y: sourceY - HALF }, { x: targetX, y: targetY + HALF - (open ? 0 : 7) }, bends, at);
  const shown = label || (count > 0 && node !== START);
  const tone = trod || chosen ? "hot" : count > 0 ? "live" : "";
  return (
    <>
      <BaseEdge id={id} path={drawn} className={`d-way ${tone}${open ? " open" : ""}`} interactionWidth={0} />
      {!open && <path className={`d-arrow ${tone}`} d={`M${targetX - 5} ${targetY + HALF - 9} l5 8 l5 -8z`} />}
      {shown && (
        <EdgeLabelRenderer>
          <button
            type="button"
            tabIndex={-1}
            className={`k-elabel d-elabel nodrag nopan${chosen ? " is-on" : ""}`}
            dir={page.rtl ? "rtl" : "ltr"}
            style={{ transform: `translate(-50%, -50%) translate(${middle.x}px, ${middle.y}px)` }}
            title={t("add_here")}
            onClick={() => choose({ node, way })}
          >
            <bdi>{label}</bdi>
            {count > 0 && (
              <b>
                <bdi>{num(count)}</bdi>
              </b>
            )}
          </button>
        </EdgeLabelRenderer>
      )}
    </>
  );
});

/** How often a way was taken. */
function countOf(counts: Counts | null, node: string, way: string): number {
  return counts ? (node === START ? counts.started : (counts.edges[`${node}/${way}`] ?? 0)) : 0;
}

/** The path, and where its words stand: as laid out, or between steps moved by hand; a way back goes round the side. */
function lead(from: Point, to: Point, bends: Point[] | undefined, at: Point | undefined): [string, Point] {
  if (to.y < from.y + 8) {
    const middle = bends?.[Math.floor(bends.length / 2)]?.x ?? (page.rtl ? -Infinity : Infinity);
    const side = middle < (from.x + to.x) / 2 ? Math.min(from.x, to.x) - WIDE / 2 - 28 : Math.max(from.x, to.x) + WIDE / 2 + 28;
    const corners = `M${from.x} ${from.y} V${from.y + 16} H${side} V${to.y - 18} H${to.x} V${to.y}`;
    return [corners, { x: side, y: (from.y + to.y) / 2 }];
  }
  if (bends && at) return [path(from, to, bends), at];
  const straight = Math.abs(from.x - to.x) < 1;
  return [path(from, to, []), straight ? { x: to.x, y: (from.y + to.y) / 2 } : { x: to.x, y: (from.y + 3 * to.y) / 4 }];
}
