"""Text, Markdown, HTML and PDF as blocks with their places; what is odd or damaged is one line."""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path

import pypdf
import pytest

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.prepare.documents import passages
from tinsmith.prepare.documents.kinds import kinds


def blocks(path: Path) -> list[tuple[int, str, str]]:
    return [(one.number, one.heading, one.text) for one in kinds()[path.suffix].blocks(path)]


def pdf(*pages: list[str]) -> bytes:
    """With one line of text below another on each page."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for lines in pages:
        shown = " ".join(f"({line}) Tj T*" for line in lines)
        stream = f"BT /F1 12 Tf 14 TL 50 700 Td {shown} ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(kids)}] >>"
    data, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(
        b"\xef\xbb\xbfThe pump\r\n========\r\n\r\nIt turns\r\nslowly.\r\n .\r\n# no heading\r\n-----\r\n"
        b"\r\nIt stops."
    )
    assert blocks(path) == [(4, "The pump", "It turns\nslowly."), (10, "# no heading", "It stops.")]


def test_markdown(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "# The **pump** #\n\n![logo](a.png)\n\nSee [the guide](b.md), <b>now</b>.\n```sh\n# not a heading\n\n"
        "run\n```\n## Oil\nFill it.\n[guide]: http://a.example\n",
        "utf-8",
    )
    assert blocks(path) == [
        (5, "The pump", "See the guide, now.\n```sh\n# not a heading\n\nrun\n```"),
        (12, "Oil", "Fill it.\n"),
    ]


def test_html(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(
        b'<html><head><meta charset="iso-8859-1"><title>Pumps</title><style>p {}</style></head>\n<body>'
        b"<nav>Home</nav>"
        b"<p>F\xfcr <b>all</b>\npumps &amp; fans.<br>Twice.</p><h2>Oil</h2><script>if (a < b) {}</script>"
        b"<ul><li>One<li>Two</ul><svg><text>x</text></svg><p>open"
    )
    assert blocks(path) == [
        (2, "Pumps", "Für all\npumps & fans.\nTwice."),
        (3, "Oil", "One"),
        (3, "Oil", "Two"),
        (3, "Oil", "open"),
    ]


def test_pdf(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(
        pdf(
            ["The pump is turned on by the main", "switch, and comes to a stand-", "still.", "Oil it."],
            ["Page two."],
        )
    )
    assert blocks(path) == [
        (1, "", "The pump is turned on by the main\nswitch, and comes to a standstill."),
        (1, "", "Oil it."),
        (2, "", "Page two."),
    ]


def encrypted(password: str) -> bytes:
    writer, data = pypdf.PdfWriter(io.BytesIO(pdf(["The pump."]))), io.BytesIO()
    writer.encrypt(password, "owner", algorithm="RC4-128")
    writer.write(data)
    return data.getvalue()


def test_a_pdf_that_anybody_may_open_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(encrypted(""))
    assert blocks(path) == [(1, "", "The pump.")]


ODD = {
    "not UTF-8.txt": (b"The pump\nF\xfcr alle", ":2: not UTF-8 text at byte 10; save it as UTF-8"),
    "UTF-16.md": ("The pump".encode("utf-16"), "not UTF-8 text at byte 0"),
    "binary.txt": (b"ELF\n\0\0", ":2: holds a NUL character; it is no text"),
    "codec.html": (
        b"<meta charset=klingon>",
        "is in the encoding klingon, which is not known; save it as UTF-8",
    ),
    "no text.html": (b"<meta charset=hex>00", "is in the encoding hex, which is not known; save it as UTF-8"),
    "other.html": (
        b"<meta charset=ascii>\xe4",
        "is not in the encoding ascii that it states; save it as UTF-8",
    ),
    "encrypted.pdf": (encrypted("secret"), "is encrypted; save it without a password"),
    "no PDF.pdf": (b"<html>", "is a damaged PDF: "),
    "empty.pdf": (b"", "is a damaged PDF: "),
    "cut.pdf": (pdf(["The pump."])[:300], "is a damaged PDF: "),
    "images.pdf": (pdf([]), "holds no text, images of pages perhaps; recognize the text first (OCR)"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    data, message = ODD[name]
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        blocks(path)
    assert message in str(error.value) and str(error.value).startswith(str(path))
    assert str(error.value).isprintable()


def test_without_pypdf_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["The pump."]))
    with pytest.raises(MissingExtraError, match=r"pip install 'tinsmith\[pdf\]'"):
        list(kinds()[".pdf"].parse(path))


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_document_that_takes_too_long_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PDF of a few KB whose page unpacks to megabytes."""
    monkeypatch.setattr("tinsmith.prepare.documents.kinds.SECONDS", 1)
    says = "The impeller of the pump is replaced after a hundred and twenty hours of hard work on board. "
    content = zlib.compress(b"BT /F1 12 Tf (a) Tj ET\n" * 250_000)
    page = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content)
    whole = pdf(["a"])
    begin, end = whole.index(b"<< /Length"), whole.index(b"endstream") + len(b"endstream")
    (tmp_path / "b.pdf").write_bytes(whole[:begin] + page + whole[end:])
    (tmp_path / "a.md").write_text(says)
    (tmp_path / "c.html").write_text(f"<p>{says} It is oiled too, and then it is cleaned with a cloth.</p>")
    made, dropped = passages.read(tmp_path)
    assert {one.document for one in made} == {"a.md", "c.html"}
    (one,) = dropped
    assert (one.reason, one.where) == ("unreadable", "b.pdf")
    assert one.message.startswith("can't be read: takes more than 1 seconds; ")


LINEAR = {
    "odd.html": (
        "<title>A<b></title><p title='a>b'>one<!-- two --><br/>three<?x?>&#9999999999;&amp;<![CDATA[x]]></p >"
        "<svg><nav></svg>shown</nav><p>a<3 and b>2</><textarea>&lt;p></textarea><script>'<p>'</script><p x='",
        [(1, "A<b>", "one\nthree�&"), (1, "A<b>", "shown"), (1, "A<b>", "a<3 and b>2<p>")],
    ),
    "odd.md": (
        "See [![logo](l.png)](a), [a [b] c][d] and ![x [y] z](p), [e] or [f](g\n"
        "**one** __two__ ** three** **four\nfive** <!-- six\nseven --> <!-- **__eight__** [](x)![](y)",
        [(1, "", "See , a [b] c and , [e] or [f](g\none two ** three** **four\nfive**  <!-- eight ")],
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_marks_are_read_as_pairs(name: str, tmp_path: Path) -> None:
    text, expected = LINEAR[name]
    (tmp_path / name).write_text(text, "utf-8")
    assert blocks(tmp_path / name) == expected
