"""The rules, one file a family; ``RULES`` maps each torch function to its rule."""

from __future__ import annotations

from trainloop.manual.rule import by_function
from trainloop.manual.rules.activation import ACTIVATION
from trainloop.manual.rules.activation_smooth import ACTIVATION_SMOOTH
from trainloop.manual.rules.arithmetic import ARITHMETIC
from trainloop.manual.rules.attention import ATTENTION
from trainloop.manual.rules.blocks import BLOCKS
from trainloop.manual.rules.cast import CAST
from trainloop.manual.rules.conv import CONV
from trainloop.manual.rules.conv_transpose import CONV_TRANSPOSE
from trainloop.manual.rules.dropout import DROPOUT
from trainloop.manual.rules.einsum import EINSUM
from trainloop.manual.rules.elementwise import ELEMENTWISE
from trainloop.manual.rules.extremum import EXTREMUM
from trainloop.manual.rules.indexing import INDEXING
from trainloop.manual.rules.joining import JOINING
from trainloop.manual.rules.linear import LINEAR
from trainloop.manual.rules.loss import LOSS
from trainloop.manual.rules.matmul import MATMUL
from trainloop.manual.rules.multi_head_attention import MULTI_HEAD_ATTENTION
from trainloop.manual.rules.norm import NORM
from trainloop.manual.rules.norm_layer import NORM_LAYER
from trainloop.manual.rules.norm_scale import NORM_SCALE
from trainloop.manual.rules.overwriting import OVERWRITING
from trainloop.manual.rules.padding import PADDING
from trainloop.manual.rules.pool import POOL
from trainloop.manual.rules.pool_adaptive import POOL_ADAPTIVE
from trainloop.manual.rules.reduction import REDUCTION
from trainloop.manual.rules.repetition import REPETITION
from trainloop.manual.rules.resize import RESIZE
from trainloop.manual.rules.shape import SHAPE
from trainloop.manual.rules.softmax import SOFTMAX
from trainloop.manual.rules.vector_norm import VECTOR_NORM

RULES = by_function(
    ACTIVATION,
    ACTIVATION_SMOOTH,
    ARITHMETIC,
    ATTENTION,
    BLOCKS,
    CAST,
    CONV,
    CONV_TRANSPOSE,
    DROPOUT,
    EINSUM,
    ELEMENTWISE,
    EXTREMUM,
    INDEXING,
    JOINING,
    LINEAR,
    LOSS,
    MATMUL,
    MULTI_HEAD_ATTENTION,
    NORM,
    NORM_LAYER,
    NORM_SCALE,
    OVERWRITING,
    PADDING,
    POOL,
    POOL_ADAPTIVE,
    REDUCTION,
    REPETITION,
    RESIZE,
    SHAPE,
    SOFTMAX,
    VECTOR_NORM,
)

__all__ = ["RULES"]
