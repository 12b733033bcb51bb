"""Aozora Bunko: one work per file, in CP932, with a header, inline markup and a colophon."""

import re
from collections.abc import Iterator

from pydantic import PositiveInt

from preprocessing.decoding import Encoding, Undecodable, decode
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._aozora_format import plain_text, split
from preprocessing.step import Reader

_RIGHTS_RESERVED = re.compile(r"著作権[がの]存続|クリエイティブ・?コモンズ|creative ?commons", re.IGNORECASE)


class AozoraReader(Reader):
    """Files of Aozora Bunko (both `_ruby_` and `_txt_` editions). Works whose rights are reserved are rejected."""

    encodings: tuple[Encoding, ...] = ("utf-8", "cp932")
    """Tried in this order; strict, so that a CP932 file is never taken for UTF-8."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer works are rejected."""

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        data, complete = raw.whole(self.max_document_bytes)
        try:
            if not complete:
                raise Undecodable("too_large")
            text = decode(data, self.encodings)
        except Undecodable as error:
            yield raw.reject(0, error.reason, data)
            return
        work = split(text.replace("\r\n", "\n").replace("\r", "\n"))
        if _RIGHTS_RESERVED.search(work.header + work.colophon):
            yield raw.reject(0, "rights_reserved", data)
            return
        lines = [plain_text(line).strip() for line in work.header.strip().split("\n")]
        names = [line for line in lines[1:] if not line.endswith("訳")]
        meta = {"title": lines[0], "author": names[-1] if names else ""}
        yield raw.document(0, plain_text(work.body).strip("\n"), meta)
