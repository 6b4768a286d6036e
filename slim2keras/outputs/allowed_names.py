"""What a model file may name: classes, functions and ops that compute with tensors and do nothing else.

Lists, not prefixes: a name that tf_keras or TensorFlow adds later is refused until somebody has looked at it. The tests
compare the lists of classes with tf_keras, so that a new class fails a test instead of a user's file.
"""

from __future__ import annotations


def _names(text: str, prefix: str = "") -> frozenset[str]:
    return frozenset(f"{prefix}{name}" for name in text.split())


LAYERS = _names("""
    AbstractRNNCell Activation ActivityRegularization Add AddLoss AddMetric AdditiveAttention AlphaDropout Attention
    Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D ConvLSTMCell
    Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose
    Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
    GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    HashedCrossing Hashing Identity InputLayer InputSpec LSTM LSTMCell Layer LayerNormalization LeakyReLU
    LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D
    MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RNN RandomBrightness
    RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU
    RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SeparableConvolution1D
    SeparableConvolution2D SimpleRNN SimpleRNNCell SlicingOpLambda Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization TFOpLambda
    ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
""")
"""Stock layers; of ``TFOpLambda`` and ``SlicingOpLambda`` the function is judged by ``FUNCTIONS``."""

REFUSED = {
    "Lambda": "a Lambda layer carries Python code",
    "__lambda__": "a lambda carries Python code",
    "DropoutWrapper": "its filter may be Python code",
    "ResidualWrapper": "its function may be Python code",
    "TensorFlowOpLayer": "it runs any op of TensorFlow",
    "ClassMethod": "it calls any method by name",
    "InstanceMethod": "it calls any method by name",
    "InstanceProperty": "it reads any attribute by name",
    "IntegerLookup": "it may read a file of this machine for its vocabulary",
    "StringLookup": "it may read a file of this machine for its vocabulary",
    "TextVectorization": "it may read a file of this machine for its vocabulary",
    "DenseFeatures": "a feature column may name any function",
    "SequenceFeatures": "a feature column may name any function",
}
"""Stock classes that do more than compute, and what."""

MODELS = frozenset({"Functional", "Model", "Sequential"})

INITIALIZERS = _names("""
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity Initializer LecunNormal LecunUniform Ones
    Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros constant glorot_normal
    glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform normal one ones orthogonal random_normal
    random_uniform truncated_normal uniform variance_scaling zero zeros
""")

REGULARIZERS = _names("L1 L1L2 L2 OrthogonalRegularizer Regularizer l1 l1_l2 l2 orthogonal_regularizer")

CONSTRAINTS = _names("""
    Constraint MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm min_max_norm non_neg nonneg
    radial_constraint unit_norm unitnorm
""")

_PUBLIC_ACTIVATIONS = (
    "elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh"
)

ACTIVATIONS = _names(f"{_PUBLIC_ACTIVATIONS} leaky_relu log_softmax relu6 silu")

OPTIMIZERS = _names("Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam Optimizer RMSprop SGD")

SCHEDULES = _names("""
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule PiecewiseConstantDecay
    PolynomialDecay
""")

PRECISION = _names("LossScaleOptimizer LossScaleOptimizerV3 Policy")

LOSSES = _names("""
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
    CosineSimilarity Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError MeanAbsolutePercentageError
    MeanSquaredError MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge
""")

METRICS = _names("""
    AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy
    CategoricalHinge CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence
    LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanRelativeError
    MeanSquaredError MeanSquaredLogarithmicError MeanTensor Metric OneHotIoU OneHotMeanIoU Poisson Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity
    SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives
""")

CLASSES = frozenset().union(
    *(LAYERS, MODELS, INITIALIZERS, REGULARIZERS, CONSTRAINTS, OPTIMIZERS, SCHEDULES, PRECISION, LOSSES, METRICS)
)

MODULES = _names("""
    keras keras.activations keras.constraints keras.initializers keras.layers keras.layers.experimental
    keras.layers.experimental.preprocessing keras.losses keras.metrics keras.mixed_precision keras.models
    keras.optimizers keras.optimizers.experimental keras.optimizers.legacy keras.optimizers.schedules
    keras.regularizers keras.src.engine.base_layer keras.src.engine.functional keras.src.engine.input_spec
    keras.src.engine.sequential keras.src.layers.core.tf_op_layer keras.src.mixed_precision.loss_scale_optimizer
""")
"""Where tf_keras says that these classes are; ``tf_keras`` in the place of ``keras`` is the same."""

DATA = frozenset({"CompositeTensor", "TensorShape", "TypeSpec", "__ellipsis__", "__numpy__", "__tensor__", "__tuple__"})
"""Class names by which a configuration writes plain values."""

TYPE_SPECS = frozenset({"tf.RaggedTensorSpec", "tf.SparseTensorSpec", "tf.TensorSpec"})

_MATH = """
    abs accumulate_n acos acosh add add_n angle argmax argmin asin asinh atan atan2 atanh bessel_i0 bessel_i0e
    bessel_i1 bessel_i1e betainc bincount ceil confusion_matrix conj cos cosh count_nonzero cumprod cumsum
    cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfcinv erfinv exp expm1 floor floordiv
    floormod greater greater_equal igamma igammac imag in_top_k invert_permutation is_finite is_inf is_nan
    l2_normalize lbeta less less_equal lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or
    logical_xor maximum minimum mod multiply multiply_no_nan ndtri negative nextafter not_equal polygamma pow real
    reciprocal reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean
    reduce_min reduce_prod reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul segment_max
    segment_mean segment_min segment_prod segment_sum sigmoid sign sin sinh softmax softplus softsign sqrt square
    squared_difference subtract tan tanh top_k truediv unsorted_segment_max unsorted_segment_mean
    unsorted_segment_min unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy
    zero_fraction zeta
"""

_NN = """
    atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add
    conv1d conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose conv_transpose convolution crelu
    depth_to_space depthwise_conv2d dilation2d dropout elu embedding_lookup erosion2d gelu l2_loss l2_normalize
    leaky_relu local_response_normalization log_softmax lrn max_pool max_pool1d max_pool2d max_pool3d
    max_pool_with_argmax moments normalize_moments pool relu relu6 selu separable_conv2d sigmoid
    sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits softplus softsign
    space_to_batch space_to_depth sparse_softmax_cross_entropy_with_logits sufficient_statistics swish tanh top_k
    weighted_moments zero_fraction
"""

_IMAGE = """
    adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation central_crop convert_image_dtype
    crop_and_resize crop_to_bounding_box extract_glimpse extract_patches flip_left_right flip_up_down
    grayscale_to_rgb hsv_to_rgb pad_to_bounding_box per_image_standardization resize resize_with_crop_or_pad
    resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90 transpose yiq_to_rgb yuv_to_rgb
"""

_LINALG = "adjoint band_part cross diag diag_part einsum matmul matrix_transpose matvec norm normalize tensordot trace"

_TENSORS = """
    abs acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh batch_to_space bitcast boolean_mask
    broadcast_to cast clip_by_norm clip_by_value complex concat convert_to_tensor cos cosh cumsum divide
    dynamic_partition dynamic_stitch einsum ensure_shape equal exp expand_dims eye fill floor gather gather_nd
    greater greater_equal histogram_fixed_width identity identity_n less less_equal linspace logical_and logical_not
    logical_or matmul maximum meshgrid minimum multiply negative norm not_equal one_hot ones ones_like pad pow range
    rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum
    repeat reshape reverse reverse_sequence roll round saturate_cast scalar_mul scatter_nd searchsorted
    sequence_mask shape shape_n sigmoid sign sin sinh size slice sort space_to_batch space_to_batch_nd split sqrt
    square squeeze stack stop_gradient strided_slice subtract tan tanh tensor_scatter_nd_add tensor_scatter_nd_max
    tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truediv
    truncatediv truncatemod unique unstack where zeros zeros_like
    __operators__.add __operators__.eq __operators__.getitem __operators__.ne
"""

_BACKEND = """
    abs argmax argmin batch_dot batch_flatten batch_normalization bias_add cast clip concatenate conv2d cos cumprod
    cumsum depthwise_conv2d dot dropout elu equal exp expand_dims flatten gather greater greater_equal hard_sigmoid
    l2_normalize less less_equal log max maximum mean min minimum not_equal one_hot ones_like
    permute_dimensions pool2d pow prod relu repeat repeat_elements reshape resize_images reverse round
    separable_conv2d shape sigmoid sign sin softmax softplus softsign spatial_2d_padding sqrt square squeeze stack
    std stop_gradient sum tanh temporal_padding tile transpose var zeros_like
"""


FUNCTIONS = frozenset().union(
    _names(_MATH, "math."),
    _names(_NN, "nn."),
    _names(_IMAGE, "image."),
    _names(_LINALG, "linalg."),
    _names(_BACKEND, "keras.backend."),
    _names(_PUBLIC_ACTIVATIONS, "keras.activations."),
    _names(_TENSORS),
)
"""Symbols of TensorFlow that a ``TFOpLambda`` may call. None takes a function, a path or bytes to decode."""

OPS = _names("""
    Abs Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Angle Any ArgMax ArgMin AsString
    Asin Asinh Assert Atan Atan2 Atanh AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchToSpace BatchToSpaceND BesselI0e BesselI1e BiasAdd BiasAddGrad BiasAddV1 Bincount Bitcast
    BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil CheckNumerics ClipByValue Complex ComplexAbs
    Concat ConcatOffset ConcatV2 Conj Const Conv Conv2D Conv2DBackpropFilter Conv2DBackpropInput Conv3D
    Conv3DBackpropFilterV2 Conv3DBackpropInputV2 Cos Cosh CropAndResize Cross CudnnRNN CudnnRNNBackpropV3 CudnnRNNV2
    CudnnRNNV3 Cumprod Cumsum DenseBincount DepthToSpace DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
    DepthwiseConv2dNativeBackpropInput Diag DiagPart Digamma Dilation2D Div DivNoNan DynamicPartition DynamicStitch
    Einsum Elu EluGrad Empty EmptyTensorList EnsureShape Equal Erf Erfc Erfinv Exp ExpandDims Expm1
    ExtractImagePatches FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor
    FloorDiv FloorMod FusedBatchNorm FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2
    Greater GreaterEqual HSVToRGB Identity IdentityN Imag ImageProjectiveTransformV2 ImageProjectiveTransformV3
    InTopKV2 InplaceAdd InplaceUpdate Inv InvertPermutation IsFinite IsInf IsNan L2Loss LRN LRNGrad LeakyRelu
    LeakyReluGrad Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LowerBound
    MatMul MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 Max MaxPool MaxPool3D
    MaxPool3DGrad MaxPoolGrad MaxPoolV2 MaxPoolWithArgmax Maximum Mean Min Minimum MirrorPad Mod Mul MulNoNan
    Multinomial Neg NextAfter NoOp NotEqual OneHot OnesLike OptionalFromValue OptionalGetValue OptionalHasValue
    OptionalNone Pack Pad PadV2 ParallelDynamicStitch Placeholder PlaceholderWithDefault Polygamma Pow
    PreventGradient Prod RGBToHSV Range Rank Real RealDiv Reciprocal Relu Relu6 Relu6Grad ReluGrad Reshape
    ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse ReverseSequence ReverseV2 Rint Roll Round
    Rsqrt RsqrtGrad ScatterNd SegmentSum Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad Sign Sin
    Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign SoftsignGrad SpaceToBatch
    SpaceToBatchND SpaceToDepth SparseSoftmaxCrossEntropyWithLogits Split SplitV Sqrt SqrtGrad Square
    SquaredDifference Squeeze StopGradient StridedSlice StridedSliceGrad StringToHashBucketFast
    StringToHashBucketStrong Sub Sum Tan Tanh TanhGrad TensorListConcatV2 TensorListElementShape
    TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListSetItem TensorListStack TensorScatterAdd TensorScatterSub
    TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod Unique UniqueV2 Unpack UnsortedSegmentMax
    UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound Where Xdivy Xlog1py Xlogy ZerosLike
    Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile While
    RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    StatelessMultinomial StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
    AssignAddVariableOp AssignSubVariableOp AssignVariableOp ReadVariableOp ResourceGather ResourceGatherNd
    ResourceScatterAdd ResourceScatterSub ResourceScatterUpdate VarHandleOp VarIsInitializedOp VariableShape
""")
"""What the functions of a SavedModel may be made of: arithmetic, control flow, random numbers, the model's variables.

Those of the stock layers are here; no op is that has to do with files, network, Python, data sets, tables or printing.
"""

SAVER_OPS = _names("""
    DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch StringJoin
""")
"""Read and write the checkpoint inside a SavedModel, in two functions that tf_keras' loader never calls."""
