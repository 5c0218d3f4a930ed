"""Names: which ones a spec may give, as they reach generated code; what a wrong one may mean."""

from __future__ import annotations

import difflib
import keyword
import re
import sys
import textwrap
from collections.abc import Iterable
from itertools import islice

from cnnc.frontend.report import Report
from cnnc.frontend.spec import Identifier
from cnnc.limits import Limits
from cnnc.ops import INITIALIZERS, LOSSES, OPS

_MOST_SUGGESTIONS = 500
_MOST_LISTED = 50
_WIDEST_LIST = 80
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LANGUAGE = _words("""
    model block import train input output let repeat in if else and or not yes no true false
    same valid
""")
# of Python, Cython and C: generated code could not use them as they are
_HOST = frozenset(keyword.kwlist) | _words("""
    cdef cpdef ctypedef cimport include extern nogil gil DEF IF ELIF ELSE NULL
    auto bint case char const default do double enum float goto inline int long object register
    restrict short signed size_t sizeof static struct switch typedef union unsigned void volatile
    self loss target Py_ssize_t Py_hash_t Py_UCS4 Py_UNICODE Py_tss_t ssize_t ptrdiff_t
""")
# what other tools call the layers, without _ and 2d
_ELSEWHERE = {
    "linear": "dense",
    "fc": "dense",
    "fullyconnected": "dense",
    "convolution": "conv",
    "pool": "maxpool",
    "maxpooling": "maxpool",
    "avgpooling": "avgpool",
    "averagepool": "avgpool",
    "averagepooling": "avgpool",
    "concatenate": "concat",
    "cat": "concat",
    "rescaling": "scale",
    "convolutiontranspose": "conv_transpose",
    "convtransposed": "conv_transpose",
    "transposedconv": "conv_transpose",
    "deconv": "conv_transpose",
    "deconvolution": "conv_transpose",
    "upconv": "conv_transpose",
    "depthwiseconv": "depthwise",
    "dwconv": "depthwise",
    "bn": "batchnorm",
    "batchnormalization": "batchnorm",
    "gn": "groupnorm",
    "groupnormalization": "groupnorm",
    "ln": "layernorm",
    "layernormalization": "layernorm",
    "swish": "silu",
    "hswish": "hardswish",
    "hsigmoid": "hardsigmoid",
    "lrelu": "leaky_relu",
    "logistic": "sigmoid",
    "spatialdropout": "channel_dropout",
    "channeldropout": "channel_dropout",
    "featuredropout": "channel_dropout",
    "gap": "global_avgpool",
    "globalpool": "global_avgpool",
    "globalaveragepool": "global_avgpool",
    "globalaveragepooling": "global_avgpool",
    "globalavgpooling": "global_avgpool",
    "globalmaxpooling": "global_maxpool",
    "adaptiveavgpool": "adaptive_avgpool",
    "adaptiveaveragepool": "adaptive_avgpool",
    "adaptivemaxpool": "global_maxpool",
    "multiply": "mul",
    "product": "mul",
    "subtract": "sub",
    "sum": "add",
    "plus": "add",
    "merge": "concat",
    "chunk": "split",
    "narrow": "slice",
    "view": "reshape",
    "resize": "upsample",
    "interpolate": "upsample",
    "upsampling": "upsample",
    "unpool": "upsample",
    "zeropadding": "zero_pad",
    "zeropad": "zero_pad",
    "padding": "zero_pad",
    "pad": "zero_pad",
    "cropping": "crop",
    "normalization": "normalize",
    "standardize": "normalize",
    "skip": "identity",
    "noop": "identity",
}
# what other tools call losses, initialisers and arguments, without _
_ALIASES = {
    "bce": "binary_cross_entropy",
    "binarycrossentropy": "binary_cross_entropy",
    "ce": "cross_entropy",
    "crossentropy": "cross_entropy",
    "nll": "cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "l2": "mse",
    "mae": "l1",
    "smoothl1": "huber",
    "xavier": "glorot",
    "xavieruniform": "glorot",
    "glorotuniform": "glorot",
    "kaiming": "he",
    "kaiminguniform": "he",
    "heuniform": "he",
    "kernelsize": "kernel",
    "poolsize": "size",
    "padding": "pad",
    "strides": "stride",
    "outchannels": "filters",
    "outfeatures": "units",
    "usebias": "bias",
    "learningrate": "lr",
}
_DIMENSIONS = re.compile(r"[123]d\Z")
_MODULES = frozenset(sys.stdlib_module_names) | {"cnnc", "numpy", "cython", "safetensors"}


WORDS = frozenset(("same", "valid", *INITIALIZERS)).union(
    *(field.choices for op in (*OPS.values(), *LOSSES.values()) for field in op.FIELDS)
)
"""Words that an argument may be without anyone defining them."""


def kind_of(word: str) -> str | None:
    """What a word of the language is, e.g. `a padding`; None for a word that is none."""
    if word in ("same", "valid"):
        return "a padding"
    if word in OPS:
        return "a layer"
    if word in INITIALIZERS:
        return "an initialiser"
    return "a word that some layers take" if word in WORDS else None


_INTERNAL = ("block", "parameter")
"""What never becomes a name of generated code as it stands."""


def check_name(name: Identifier, what: str, report: Report, limits: Limits) -> bool:
    """Whether a spec may give this name to a model, block, parameter, value, input or layer."""
    text = name.text
    reason: str | None = None
    if text in _LANGUAGE:
        reason = "is a word of the language"
    elif text in OPS or text in INITIALIZERS:
        reason = "is the name of a layer" if text in OPS else "is the name of an initialiser"
    elif what not in _INTERNAL and text in _HOST:
        reason = "is reserved in generated code"
    elif text.startswith("__") or not _PLAIN.match(text):
        reason = "starts with two underscores"
    elif text.endswith("_grad"):
        reason = "ends in _grad, as the names of gradients do"
    elif len(text) > limits.name:
        reason = f"is longer than {limits.name} characters"
    elif what == "model" and text in _MODULES:
        reason = "is the name of a Python module"
    if reason:
        shown = text if len(text) <= limits.name else text[: limits.name] + "…"
        article = "an" if what == "input" else "a"
        message = f"{article} {what} cannot be called {shown}: it {reason}"
        report.error("bad-name", message, name.span, help="choose another name")
    return reason is None


def suggest_layer(name: str, known: Iterable[str]) -> str:
    """A hint for a layer that does not exist: what other tools call so, or what is close to it."""
    plain = _DIMENSIONS.sub("", name.lower().replace("_", ""))
    spelt = {op.replace("_", ""): op for op in OPS}
    meant = spelt.get(plain) or _ELSEWHERE.get(plain, "")
    if meant in OPS:
        return f"did you mean {meant}?"
    if close := suggest(name, known):
        return close
    return textwrap.fill(f"layers: {', '.join(sorted(OPS))}", _WIDEST_LIST)


def suggest(name: str, known: Iterable[str], what: str = "") -> str | None:
    """A hint: the known name that is meant, or, where `what` says what they are, all of them."""
    names = sorted(islice(known, _MOST_SUGGESTIONS))
    meant = _ALIASES.get(name.lower().replace("_", ""))
    if meant in names:
        return f"did you mean {meant}?"
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower()[:80], folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"{what}: {', '.join(names[:_MOST_LISTED])}" if what and names else None
