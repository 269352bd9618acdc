"""Penn Treebank words of raw English text, as regular expressions that a tokenizer.json can hold, and the way back.

The rules are R. MacIntyre's (the Treebank's tokenizer.sed) as nltk's TreebankWordTokenizer words them. There, one
substitution after another inserts spaces; here one expression with look-arounds marks all tokens at once, since a
tokenizer.json knows no back-references. Quotes become `` and '', which tell the way back where they open and close.

Differs: <unk> stays one word; a quote right after a quote closes; 'tis and 'twas fall apart after a full stop too. The
way back puts one space or none, by rules: "red,white" comes back as "red, white", "at&t" as "at & t".
"""

from __future__ import annotations

# Before all else, a quote at the start, or after a space or an opening bracket, becomes ``; any other becomes ''.
OPENING = r"""^"|(?<=[ (\[{<])(?:"|'')"""

# Tokens wherever they stand. The last is the full stop at the end; closing brackets and quotes may follow it.
_MARK = (
    r"<unk>|``|''|\.\.\.|--|[,:](?!\d)|[;@#$%&?!]|[\](){}\[]|<(?!unk>)|(?<!<unk)>"
    r"|(?<=[^.])\.(?=(?:[\])}>']| '' )*\s*$)"
)
_END = rf"(?='?(?:\s|$|{_MARK}))"
_CLITIC = rf"(?<=[^'\s])(?:'[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T|'){_END}"
_PAIRS = (("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n"))
_APART = "|".join(rf"\b{first}(?={second}\b)|(?<=\b{first}){second}\b" for first, second in _PAIRS)
_WANNA = rf"\bwan(?=na{_END})|(?<=\bwan)na{_END}"
_TIS = r"(?<!\w't)(?<='t)(?:is|was)\b"
TOKEN = rf"{_MARK}|{_CLITIC}|(?i:{_APART}|{_WANNA}|{_TIS})"

# The way back, from words joined by one space: quotes first, then these spaces go.
OPEN_QUOTE, CLOSE_QUOTE = r"`` ?", r" ?''"
_BEFORE = r" (?=\.\.\.|[.,!?;:%)\]}](?!\w)|(?:'(?:[sSmMdD]|ll|LL|re|RE|ve|VE)|n't|N'T)(?!\w)|'(?!\w))"
_AFTER = r"(?<=[(\[{$#]) "
_TOGETHER = "|".join(rf"(?<=\b{first}) (?={second}\b)" for first, second in (*_PAIRS, ("wan", "na")))
SPACE_TO_DROP = rf"{_BEFORE}|{_AFTER}|(?i:{_TOGETHER}|(?<='t) (?=(?:is|was)\b))"
