"""HTML of a report: text, tables and pictures, all in one file."""

import base64
import html

import numpy as np

from keras_mvssl.callbacks import figures

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px;
       margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; margin: .5em 0; }
td, th { padding: .2em .8em .2em 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { background: #f3f3f3; padding: .1em .3em; overflow-wrap: anywhere; }
img { max-width: 100%; } figure { display: inline-block; margin: .5em 1em .5em 0;
      vertical-align: top; } figcaption { font-size: .85em; color: #555; }
p.note { color: #555; font-size: .9em; max-width: 46em; }
.pixels { image-rendering: pixelated; } .views { min-width: 320px; }
"""


def page(title, sections):
    """Return a page of `(heading, HTML)` sections, without those that are empty."""
    body = "\n".join(f"<h2>{name}</h2>\n{part}" for name, part in sections if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<link rel="icon" href="data:,">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{text(title)}</h1>\n{body}\n</body></html>\n"
    )


def text(value):
    """Return a value as text with HTML escapes."""
    return html.escape(str(value))


def percent(share):
    """Return a share in percent, or nothing for None."""
    return "" if share is None else f"{float(share):.1%}"


def number(value):
    """Return a number, rounded to a whole one, or nothing for None."""
    return "" if value is None else f"{value:,.0f}"


def note(text):
    """Return a paragraph of explanation."""
    return f'<p class="note">{text}</p>'


def table(header, rows):
    """Return a table, whose cells are HTML already."""
    head = ""
    if header:
        head = "<tr>" + "".join(f"<th>{cell}</th>" for cell in header) + "</tr>"
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{head}{body}</table>\n"


def figure(png, caption="", kind="", alt=""):
    """Return a picture from PNG bytes.

    Args:
        png: The bytes.
        caption: Text below the picture.
        kind: Classes of the style sheet.
        alt: Text for readers who cannot see the picture. Defaults to the caption.
    """
    data = base64.b64encode(png).decode()
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img class="{kind}" alt="{text(alt or caption)}" '
        f'src="data:image/png;base64,{data}">{below}</figure>\n'
    )


def thumbnail(image, caption):
    """Return an image `(h, w, C)` in [0, 255] as a small picture over its caption."""
    pixels = np.clip(np.round(np.asarray(image, "float32")), 0, 255).astype("uint8")
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    data = base64.b64encode(figures.picture(pixels)).decode()
    image = (
        f'<img class="pixels" alt="{text(caption)}" height="64" '
        f'src="data:image/png;base64,{data}">'
    )
    return f"{image}<br><small>{text(caption)}</small>"
