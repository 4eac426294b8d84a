"""The look of the demo's page, light and dark, wide and narrow."""

STYLE = """
:root { --ink: #1f2430; --soft: #5d6675; --ground: #fbfbfa; --card: #ffffff; --line: #e3e5e9; --accent: #2f6fbf; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --soft: #a0a8b5; --ground: #14171c; --card: #1c2027; --line: #2e343d; --accent: #7db2f0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 .5rem; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 i { font-style: normal; color: var(--accent); margin-right: .25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; color: var(--soft); }
p { margin: .5rem 0; max-width: 52rem; }
.lead { color: var(--soft); font-size: 1.05rem; }
.note { color: var(--soft); font-size: .85rem; }
.verdict { border-left: 3px solid var(--accent); padding-left: .75rem; }
.cards { display: grid; margin-top: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; }
.cards div, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.cards div { padding: .75rem 1rem; }
.cards b { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--accent); }
.cards span { color: var(--soft); font-size: .85rem; }
section { margin-top: 1.5rem; padding: 1.25rem; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td { white-space: nowrap; }
td small { display: block; color: var(--soft); font-weight: 400; font-size: .8rem; line-height: 1.2;
  white-space: normal; max-width: 15rem; }
.n small { white-space: nowrap; }
.stack td:last-child { white-space: normal; min-width: 16rem; }
.n { text-align: right; }
.marked td { font-weight: 600; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem;
  align-items: start; margin-top: 1rem; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; max-width: 38rem; height: auto; color: var(--soft); }
.wide { grid-column: 1 / -1; overflow-x: auto; }
.wide svg { max-width: 52rem; min-width: 34rem; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .25rem; }
pre { overflow-x: auto; background: var(--ground);
  border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .88rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  main { padding: 1rem .5rem 3rem; }
  section { padding: 1rem .75rem; }
  table { font-size: .82rem; }
  .scroll table:not(.stack) :is(th, td):first-child { position: sticky; left: 0; background: var(--card);
    white-space: normal; min-width: 6rem; }
  .stack thead { display: none; }
  .stack tr { display: flex; flex-wrap: wrap; column-gap: .6rem; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  .stack td { border: 0; padding: 0; white-space: normal; }
  .stack .main { flex: 1 1 8rem; font-weight: 600; }
  .stack td:last-child { flex-basis: 100%; color: var(--soft); }
}
@media print { section { break-inside: avoid; } }
"""
