// @ts-check
// The styles of <minimost-call>. The element is a box of its page: sizes depend on the box, not on the window, and the
// colours on the `color-scheme` that the page gives it.

const CSS = `
:host {
  display: block; container-type: inline-size; box-sizing: border-box; min-width: 0; overflow: hidden;
  border: 1px solid var(--line); border-radius: 14px; background: var(--surface); color: var(--text);
  font: 400 15px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere;
  --surface: light-dark(#ffffff, #171a22);
  --raised: light-dark(#f4f5f8, #232836);
  --line: light-dark(#d5d9e2, #343a48);
  --text: light-dark(#171a21, #eceff5);
  --quiet: light-dark(#596072, #a0a8b8);
  --accent: light-dark(#2f5bea, #3f66e8);
  --answer: light-dark(#14804a, #17804b);
  --danger: light-dark(#c62b3d, #d23f50);
  --error: light-dark(#b3202f, #ff8a96);
  --focus: light-dark(#2f5bea, #9db4ff);
}
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
p, figure { margin: 0; }
section { display: flex; flex-direction: column; gap: 0.6rem; height: 100%; padding: 0.75rem; outline: none; }
.status { color: var(--quiet); font-size: 0.9rem; }
.status:empty, .alert:empty { display: none; }
.alert { color: var(--error); font-size: 0.9rem; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.row { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
.ring { display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: center; }
.ring .grow { flex: 1 1 8rem; min-width: 0; }
.guests ul { display: grid; gap: 0.4rem; margin: 0; padding: 0; list-style: none; outline: none; }
.guests li { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
.guests .grow { flex: 1 1 8rem; min-width: 0; }
.icon {
  width: 1.2rem; height: 1.2rem; flex: none;
  fill: none; stroke: currentcolor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round;
}
button {
  display: inline-flex; align-items: center; justify-content: center; gap: 0.45rem;
  min-height: 2.75rem; min-width: 2.75rem; padding: 0 0.9rem;
  border: 1px solid var(--line); border-radius: 999px; background: var(--raised); color: inherit;
  font: inherit; font-weight: 550; cursor: pointer;
}
button:disabled { opacity: 0.5; cursor: default; }
button:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
button.primary { background: var(--accent); border-color: var(--accent); color: #fff; }
button.answer { background: var(--answer); border-color: var(--answer); color: #fff; }
button.danger { background: var(--danger); border-color: var(--danger); color: #fff; }
[data-action="mute"][aria-pressed="false"], [data-action="share"][aria-pressed="true"] {
  background: var(--text); border-color: var(--text); color: var(--surface);
}
.controls { display: grid; gap: 0.4rem; grid-template-columns: repeat(auto-fit, minmax(2.75rem, 1fr)); }
.controls button { padding: 0; }
@container (max-width: 30rem) {
  .controls span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
}

.tiles {
  position: relative; flex: 1 1 clamp(10rem, 60cqi, 32rem); min-height: 8rem; overflow: hidden auto;
}
.tile {
  position: absolute; display: grid; place-items: center; overflow: hidden;
  border-radius: 12px; background: #1d222d; color: #f2f4f8;
}
.tiles[data-layout="pair"] .tile.self { z-index: 2; box-shadow: 0 0 0 1px rgb(255 255 255 / 25%); }
.tiles[data-layout="pair"] .tile.self .avatar { width: 2.25rem; height: 2.25rem; font-size: 1rem; }
.tile.screen .avatar { display: none; }
.tile.screen .tile-note { top: calc(50% - 0.6rem); }
.tile video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
.tile.screen video { object-fit: contain; background: #000; }
.tile video.mirrored { transform: scaleX(-1); }
.tile.speaking::after { content: ""; position: absolute; inset: 0; border-radius: inherit; box-shadow: inset 0 0 0 3px #4ade94; }
.tile figcaption {
  position: absolute; left: 0.4rem; bottom: 0.4rem; z-index: 1; max-width: calc(100% - 0.8rem);
  display: flex; align-items: center; gap: 0.4rem; padding: 0.15rem 0.55rem; border-radius: 999px;
  background: rgb(12 14 20 / 78%); color: #fff; font-size: 0.8rem;
}
.tile-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tile-hand { display: inline-flex; color: #ffd166; }
.tile-hand .icon { width: 0.9rem; height: 0.9rem; }
.tile-reaction { position: absolute; z-index: 1; right: 0.5rem; top: 0.3rem; font-size: 1.8rem; line-height: 1; }
.tile-muted { display: inline-flex; color: #ff9aa4; }
.tile-muted .icon { width: 0.9rem; height: 0.9rem; }
.tile-note { position: absolute; z-index: 1; top: 0.4rem; width: 92%; text-align: center; font-size: 0.8rem; }
.avatar {
  display: grid; place-items: center; width: 3.5rem; height: 3.5rem; border-radius: 50%;
  background: #3f4a63; color: #fff; font-size: 1.4rem; font-weight: 600;
}
.absent { display: flex; flex-wrap: wrap; gap: 0.35rem 0.75rem; margin: 0; padding: 0; list-style: none; font-size: 0.85rem; }
.absent li { display: flex; align-items: center; gap: 0.35rem; min-width: 0; }
.absent .avatar { width: 1.6rem; height: 1.6rem; font-size: 0.8rem; }
.absent-word { color: var(--quiet); white-space: nowrap; }
.ring .avatar { width: 2.75rem; height: 2.75rem; font-size: 1.1rem; }
.bars { display: inline-flex; align-items: flex-end; gap: 2px; height: 0.7rem; }
.bars i { width: 3px; background: #fff; opacity: 0.3; }
.bars i:nth-child(1) { height: 40%; } .bars i:nth-child(2) { height: 70%; } .bars i:nth-child(3) { height: 100%; }
.bars.good i, .bars.fair i:nth-child(-n + 2), .bars.poor i:first-child { opacity: 1; }
`;

/** @type {CSSStyleSheet | null} */
let sheet = null;

/** One style sheet for all elements of the page. A page's Content-Security-Policy does not concern it. */
export function elementStyle() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
