/** The report's style sheet. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --line: #e4e7ec; --paper: #fff; --ground: #f6f7f9; --accent: #2563eb; --good: #16a34a; --bad: #dc2626; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2a3240; --paper: #161b24; --ground: #0f131a; --accent: #6ea0ff; --good: #4ade80; --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
header, main { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
header p { margin: 4px 0 0; color: var(--soft); overflow-wrap: anywhere; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; margin: 18px 0; padding: 16px 20px 20px; }
h2 { margin: 0 0 8px; font-size: 18px; }
.note { margin: 0 0 10px; color: var(--soft); font-size: 13px; }
.results { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 18px 32px; }
.result h3 { margin: 0; font-size: 15px; } .result .note { margin-bottom: 6px; }
.bar { display: grid; grid-template-columns: 110px 1fr 132px; gap: 8px; align-items: center; font-size: 13px; margin: 3px 0; }
.bar .track { background: var(--ground); border-radius: 4px; height: 16px; } .bar .fill { height: 100%; border-radius: 4px; background: var(--soft); opacity: .55; }
.bar.pretrained { font-weight: 600; } .bar.pretrained .fill { background: var(--accent); opacity: 1; } .bar .value { text-align: right; }
.map { display: flex; gap: 18px; flex-wrap: wrap; } .map .points { flex: 1 1 480px; width: 560px; max-width: 100%; border: 1px solid var(--line); border-radius: 8px; aspect-ratio: 14 / 11; }
.side { flex: 0 1 300px; } .hovered { width: 220px; height: 220px; border: 1px solid var(--line); border-radius: 8px; } .hovered-name { margin: 4px 0 8px; font-size: 13px; overflow-wrap: anywhere; min-height: 3em; }
.legend { list-style: none; margin: 0; padding: 0; font-size: 12px; max-height: 210px; overflow: auto; columns: 2; column-gap: 12px; } .legend li { cursor: pointer; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; } .legend li.off { opacity: .35; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 5px; margin-right: 6px; }
.gallery { overflow-x: auto; } .retrieval { display: flex; gap: 10px; margin: 0 0 10px; align-items: stretch; }
.card { border: 2px solid var(--line); border-radius: 8px; padding: 4px 6px; font-size: 12px; width: 148px; flex: none; } .card canvas { display: block; width: 132px; height: 132px; } .card p { margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.card.query { border-color: var(--accent); margin-right: 14px; } .card.right { border-color: var(--good); } .card.wrong { border-color: var(--bad); } .card .small { color: var(--soft); font-size: 11px; }
.matrix { overflow-x: auto; } .matrix table { border-collapse: collapse; font-size: 11px; } .matrix th { font-weight: 400; color: var(--soft); padding: 1px 6px; text-align: right; white-space: nowrap; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: 6px 1px; } .matrix td { width: 26px; min-width: 26px; height: 24px; text-align: center; border: 1px solid var(--line); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; } .charts h3 { font-size: 14px; margin: 0 0 4px; }
.figure { overflow-x: auto; } .figure svg { display: block; max-width: 100%; height: auto; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 0 28px; } .facts div { display: flex; justify-content: space-between; gap: 16px; border-bottom: 1px solid var(--line); font-size: 13px; padding: 2px 0; } .facts span:last-child { text-align: right; overflow-wrap: anywhere; }
.u-legend { font-size: 12px; color: var(--ink); }
`;
