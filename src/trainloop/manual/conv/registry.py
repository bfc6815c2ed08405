"""Every algorithm for convolution by name, from the one that explains itself to the library's."""

from __future__ import annotations

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.aten import ATEN
from trainloop.manual.conv.fft import FFT
from trainloop.manual.conv.im2col import IM2COL
from trainloop.manual.conv.loops import LOOPS
from trainloop.manual.conv.shifts import SHIFTS
from trainloop.manual.conv.winograd import WINOGRAD

CONV2D: dict[str, Algorithm] = {
    "loops": LOOPS,
    "shifts": SHIFTS,
    "im2col": IM2COL,
    "fft": FFT,
    "winograd": WINOGRAD,
    "aten": ATEN,
}
