import { page } from "./words";

const mirrored = new Set(page.mirrored);

/** One icon of the page's sprite, mirrored where it has a direction. */
export function Icon({ name, className = "" }: { name: string; className?: string }) {
  return (
    <svg className={`k-i${mirrored.has(name) ? " k-flip" : ""} ${className}`} aria-hidden="true">
      <use href={`${page.icons}#i-${name}`} />
    </svg>
  );
}

export function IconButton(props: { icon: string; label: string; onClick: () => void; disabled?: boolean; pressed?: boolean; className?: string }) {
  return (
    <button type="button" className={`k-icon-btn ${props.className ?? ""}`} aria-label={props.label} title={props.label} disabled={props.disabled} aria-pressed={props.pressed} onClick={props.onClick}>
      <Icon name={props.icon} />
    </button>
  );
}
