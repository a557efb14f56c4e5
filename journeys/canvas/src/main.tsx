import "@xyflow/react/dist/base.css";
import "./designer.css";
import { createRoot } from "react-dom/client";
import { Designer } from "./Designer";
import { loadDraft, loadPalette } from "./api";
import { autosave } from "./save";
import { begin } from "./store";
import { t } from "./words";

async function start(root: HTMLElement): Promise<void> {
  try {
    const [draft, palette] = await Promise.all([loadDraft(), loadPalette()]);
    begin(draft, palette);
    autosave();
    createRoot(root).render(<Designer />);
  } catch (problem) {
    root.querySelector("[role=status]")!.textContent = t("not_loaded");
    throw problem; // the console says which
  }
}

void start(document.getElementById("designer")!);
