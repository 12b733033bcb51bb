"""Links: which of them show text, and which."""

import re
from collections import Counter
from typing import Literal

from preprocessing.wikitext.marks import HOLE

LinkKind = Literal["text", "file", "category", "interlanguage"]

_FILE = frozenset(("file", "image", "ファイル", "画像"))
_CATEGORY = frozenset(("category", "カテゴリ"))
# Codes of the Wikipedias. A title such as `Re:ゼロ` has none of them before its colon.
_CODES = (
    "aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar "
    "bat-smg bbc bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce "
    "ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dtp dty dv dz ee el eml en eo es et "
    "eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw gu guc "
    "gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam "
    "jbo jv ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe "
    "lez lfn lg li lij lld lmo ln lo lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mo mos "
    "mr mrj ms mt mus mwl my myv mzn na nah nan nap nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nup nv ny oc "
    "olo om or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup roa-tara rsk "
    "ru rue rup rw sa sah sat sc scn sco sd se sg sgs sh shi shn shy si simple sk skr sl sm smn sn so sq sr srn ss st "
    "stq su sv sw szl szy ta tay tcy tdd te tet tg th ti tk tl tly tn to tpi tr trv ts tt tum tw ty tyv udm ug uk ur "
    "uz ve vec vep vi vls vo vro wa war wo wuu xal xh xmf yi yo yue za zea zgh zh zh-classical zh-min-nan zh-yue zu"
)
_LANGUAGES = frozenset(_CODES.split())
_IMPOSSIBLE = re.compile(r"[\[\]{}<>\n]")


def kind_of(target: str) -> LinkKind | None:
    """What a link to `target` is; None if it cannot be one. A leading colon makes every link one that is seen."""
    if _IMPOSSIBLE.search(target):
        return None
    prefix, colon, _ = target.partition(":")
    if not colon:
        return "text"
    prefix = prefix.replace("_", " ").strip().lower()
    if prefix in _FILE:
        return "file"
    if prefix in _CATEGORY:
        return "category"
    return "interlanguage" if prefix in _LANGUAGES else "text"


def link_text(target: str, label: str, removed: Counter[str]) -> str | None:
    """What a link shows: its label, else its target; a hole if it shows none; None if it can be no link."""
    kind = kind_of(target)
    if kind is None:
        return None
    if kind != "text":
        removed[kind] += 1
        return HOLE
    if label and not label.isspace():
        return label
    return target.strip().removeprefix(":").lstrip() or HOLE
