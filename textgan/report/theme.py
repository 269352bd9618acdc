"""How the page looks in light and dark, wide, narrow and on paper, and the document around its body."""

from textgan.report.markup import Markup, tag

COLOURS = 6

# Six run colours, each at least 4.5:1 on ground and panel, never without a label; real text is ink, not a colour.
LIGHT = """color-scheme:light;--ground:#fcfbf8;--panel:#f4f2ec;--ink:#1e2126;--soft:#5a5e66;--rule:#dad6cb;
--grid:#e9e6de;--flag:#8a4b00;--b0:#0000;--b1:#8a6d3b1f;--b2:#3b5b8a18;
--c0:#1863ab;--c1:#b8430f;--c2:#0b7258;--c3:#8340a6;--c4:#8a6100;--c5:#b01e63;"""
DARK = """color-scheme:dark;--ground:#15171a;--panel:#1e2125;--ink:#e8e5de;--soft:#a5a9b0;--rule:#3a3e45;--grid:#2a2e33;
--flag:#f0b266;--b0:#0000;--b1:#d9b26f1f;--b2:#7fa8e81f;
--c0:#6fb3f2;--c1:#ff9a66;--c2:#4fcba4;--c3:#cf9cea;--c4:#dfb94f;--c5:#f58fb9;"""
SANS = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","DejaVu Sans",Arial,sans-serif'
SERIF = '"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,"Noto Serif","DejaVu Serif",serif'
MONO = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace'

PAGE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 SANS;
  font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 clamp(16px,3vw,32px)}
header{padding-top:clamp(28px,5vw,60px)}
h1,h2,h3{font-family:SERIF;line-height:1.2;text-wrap:balance}
h1{font-size:clamp(28px,4.2vw,44px);margin:.15em 0 .5em;font-weight:600}
h2{font-size:clamp(22px,2.6vw,29px);margin:0 0 .4em;font-weight:600}
h3{font-size:18.5px;margin:2em 0 .6em}
h3 small{font:14px SANS;margin-left:.5em}
h4{font-size:15px;margin:1.6em 0 .5em}
section{border-top:1px solid var(--rule);padding:36px 0 16px;margin-top:30px}
section>h3:first-of-type{margin-top:1em}
p{margin:0 0 .8em;max-width:72ch}
a{color:inherit;text-decoration-color:var(--rule);text-underline-offset:3px}
a:hover{text-decoration-color:currentColor}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:14px;margin:26px 0 0}
footer{padding-top:26px;padding-bottom:60px;color:var(--soft);font-size:13.5px}
details{margin:10px 0 18px}
summary{cursor:pointer;font-size:14.5px;padding:5px 0}
pre{background:var(--panel);border-radius:8px;padding:14px 16px;margin:0 0 14px;font:13px/1.6 MONO;
  white-space:pre-wrap;overflow-wrap:anywhere}
code{font-family:MONO}
.eyebrow{font-size:13px;letter-spacing:.08em;text-transform:uppercase;color:var(--soft);margin:0}
.lead{padding:0;margin:0 0 1.8em;list-style:none;font-size:clamp(16px,1.5vw,18px);max-width:78ch}
.lead li{margin:0 0 .7em;padding-left:1em;border-left:2px solid var(--rule)}
.about,.note,.signature,small,.legend,caption,figcaption span{color:var(--soft)}
.about{font-size:15px}
.note,.signature{font-size:13.5px}
.signature code{font-size:12px}
.flag{color:var(--flag);font-size:14.5px}
.flag::before{content:"\\26A0\\FE0E\\00A0 "}
.chip{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.5em;vertical-align:.04em}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;margin:8px 0 8px;padding:0;font-size:13.5px}
.legend li{display:flex;align-items:center;min-width:0}
header .legend{font-size:14.5px;margin:-6px 0 18px}
.missing{padding:0;list-style:none;max-width:90ch}
.missing li{padding:6px 0;border-top:1px solid var(--grid)}
.missing b{font-weight:600}
"""

BLOCKS = """
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr));gap:12px;margin:0;padding:0;
  list-style:none}
.tiles li{background:var(--panel);border-radius:8px;padding:14px 18px 13px}
.tiles b{display:block;font-size:29px;font-weight:600;line-height:1.25;letter-spacing:-.01em}
.tiles span{display:block;font-size:14px}
.tiles small{display:block;font-size:13px;line-height:1.4;margin-top:3px}
.grid{display:grid;gap:28px 34px;align-items:start;margin:14px 0 12px}
.three{grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
.grid>div{min-width:0}
figure{margin:0;break-inside:avoid;min-width:0;max-width:540px}
figcaption{line-height:1.35;margin-bottom:6px;font-size:14.5px}
figcaption strong{display:block;font-weight:600}
figcaption span{display:block;font-size:13px}
.scroll{overflow-x:auto;margin:12px 0 20px;max-width:100%;width:fit-content;border-bottom:1px solid var(--rule)}
table{border-collapse:collapse;font-size:14.5px;min-width:min(100%,560px);overflow-wrap:normal}
caption{text-align:left;font-size:13.5px;padding:0 0 6px;overflow-wrap:anywhere}
caption span{position:sticky;left:0;display:inline-block;max-width:min(100%,calc(100vw - 34px))}
th,td{padding:6px 26px 6px 0;text-align:left;vertical-align:baseline;border-top:1px solid var(--grid)}
th:last-child,td:last-child{padding-right:4px}
thead th{font-weight:600;font-size:13.5px;border-top:0;border-bottom:1px solid var(--soft);min-width:4.2em;
  vertical-align:bottom}
thead th:first-child{min-width:7em}
tbody th{font-weight:500;white-space:nowrap}
.num{text-align:right;white-space:nowrap}
td.num small{display:inline-block;font-size:12.5px;min-width:4.1em;margin-left:.3em}
td.num small.wide{min-width:6em}
td.num small.span{display:block;font-size:12px}
.settings table{font-size:14px;min-width:min(100%,380px)}
.settings th,.settings td{padding-top:3px;padding-bottom:3px}
.settings caption{font-size:15px;font-weight:600;color:var(--ink)}
.settings .scroll{margin:4px 0}
.long{display:block;max-width:min(46ch,60vw);min-width:min(16ch,40vw);overflow-wrap:anywhere}
.lines{list-style:none;margin:0;padding:0;font:15.5px/1.5 SERIF}
.lines li{padding:5px 0;border-top:1px solid var(--grid);overflow:hidden;unicode-bidi:isolate;break-inside:avoid}
.lines bdi{display:block}
details>.lines{columns:24em 2;column-gap:34px}
.lines small{font:12px/1.4 SANS;display:block;color:var(--flag)}
.steps{display:grid;grid-template-columns:minmax(5.5em,auto) minmax(0,1fr);gap:0 20px;margin:0;max-width:900px}
.steps dt{color:var(--soft);font-size:13.5px;padding:7px 0;border-top:1px solid var(--rule)}
.steps dd{margin:0;border-top:1px solid var(--rule);min-width:0}
.steps .lines li:first-child{border-top:0}
.usage{max-width:none;font-size:14.5px}
.usage>span:first-child{color:var(--soft)}
.usage .rate{display:inline-block;margin-right:1.2em;max-width:100%}
.usage bdi{font-family:SERIF;font-size:16px}
"""

PLOTS = """
svg{display:block;width:100%;height:auto;overflow:visible;font:12px SANS;font-variant-numeric:tabular-nums}
svg.swatch{display:inline-block;width:22px;height:14px;vertical-align:-2px;margin-right:7px;flex:none}
text{fill:var(--soft)}
line.grid{stroke:var(--grid)}
line.axis{stroke:var(--soft);opacity:.7}
line.guide{stroke:var(--soft);stroke-dasharray:3 4}
line.joint{stroke:var(--rule);stroke-width:3}
line.interval{stroke-width:2.5;opacity:.55}
text.phase,text.note{font-size:11.5px}
text.value,text.name{font-weight:600;paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}
text.value,text.rowname{fill:var(--ink)}
.band0{fill:var(--b0)}.band1{fill:var(--b1)}.band2{fill:var(--b2)}
.stroke{fill:none;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
.area{stroke:none;opacity:.2}
.bar{opacity:.55}
.mark{stroke:var(--ground);stroke-width:1.5}
"""

NARROW_AND_PAPER = """
@media(max-width:600px){svg:not(.swatch){font-size:13px}section{padding-top:26px}
  .steps{grid-template-columns:minmax(0,1fr)}.steps dd{border-top:0}th,td{padding-right:14px}table{font-size:14px}}
@media print{:root{LIGHT--ground:#fff;--panel:#f4f4f4;--ink:#000;--soft:#444}body{font-size:10.5pt}nav{display:none}
  section{margin-top:12pt;padding-top:12pt}.scroll{overflow:visible}
  h2,h3,h4,summary{break-after:avoid}tr,.tiles li{break-inside:avoid}.two{grid-template-columns:repeat(2,minmax(0,1fr))}
  .lines{font-size:9.5pt}
  details::details-content{content-visibility:visible;display:block}
  *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def style() -> str:
    """The page's style sheet."""
    paints = [*((f"c{place}", f"c{place}") for place in range(COLOURS)), ("real", "ink")]
    runs = [
        f".{name}.stroke,line.{name}{{stroke:var(--{paint})}}"
        f".{name}.area,.{name}.bar,.{name}.mark,text.{name}{{fill:var(--{paint})}}"
        f".{name}.mark.ring{{fill:var(--ground);stroke:var(--{paint});stroke-width:2.4}}"
        f".chip.{name}{{background:var(--{paint})}}"
        for name, paint in paints
    ]
    grounds = f":root{{{LIGHT}}}\n@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    sheet = "\n".join([grounds, PAGE, BLOCKS, PLOTS, *runs, NARROW_AND_PAPER])
    for word, value in (("SANS", SANS), ("SERIF", SERIF), ("MONO", MONO), ("LIGHT", LIGHT)):
        sheet = sheet.replace(word, value)
    return "\n".join(line for line in sheet.split("\n") if line)


def document(title: str, body: Markup) -> str:
    """The whole page: one file that fetches nothing and runs nothing, which its policy also forbids."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style())),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"
