/**
 * The Python side of the adapter for PyTorch: reads a request a line, computes, and writes an answer a line, all JSON;
 * arrays are base64 of their bytes. It ends as soon as there is nothing more to read, whatever it is at.
 */
export const TORCH_PROGRAM = String.raw`
import array, base64, ctypes, json, os, queue, signal, sys, threading

# What libraries print must not get between the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

def say(**line):
    answers.write(json.dumps(line) + "\n")
    answers.flush()

# Requests are read beside the work: whoever asks may be gone while PyTorch is loaded, or computes. Where what it is at
# lets no thread in, Linux ends it with its parent (PR_SET_PDEATHSIG).
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
lines = queue.SimpleQueue()

def read():
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)

signal.signal(signal.SIGINT, signal.SIG_DFL)
threading.Thread(target=read, daemon=True).start()

try:
    import torch
    import torch.nn.functional as F
    from torch.autograd.functional import vjp
except ImportError as error:
    say(lacking=str(error))
    os._exit(0)

DTYPES = {"f32": (torch.float32, "f"), "i32": (torch.int32, "i"), "bool": (torch.bool, "B")}
OPERATIONS = {
    "logAddExp": torch.logaddexp,
    "isNaN": torch.isnan,
    "isFinite": torch.isfinite,
    "logSigmoid": F.logsigmoid,
    "leakyRelu": lambda x: F.leaky_relu(x, 0.125),
    "geluTanh": lambda x: F.gelu(x, approximate="tanh"),
}
for home, names in [
    (torch, "add sub mul div pow maximum minimum atan2 hypot eq ne lt le gt ge neg abs sign square reciprocal sqrt"),
    (torch, "rsqrt exp expm1 log log1p exp2 log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh"),
    (torch, "erf sigmoid relu floor ceil trunc round"),
    (F, "softplus relu6 elu selu silu gelu mish"),
]:
    OPERATIONS.update({name: getattr(home, name) for name in names.split() if hasattr(home, name)})

# Attributes whose names stand for something else here.
NAMES = {"axes": "axes_", "outputPadding": "output_padding"}

def axes(x, given):
    return tuple(range(x.dim())) if given is None else tuple(given)

def reduced(f, **more):
    return lambda x, axes_=None, keepDims=False: f(x, dim=axes(x, axes_), keepdim=keepDims, **more)

def product(x, axes_=None, keepDims=False):
    return torch.prod(x) if axes_ is None else torch.prod(x, axes_[0], keepDims)

def sliced(x, begin, end, step=None):
    return x[tuple(slice(*of) for of in zip(begin, end, step or [1] * len(begin)))]

def convolution(x, weight, groups=1, **more):
    return F.conv2d(x, weight, groups=groups, **more)

OPERATIONS.update({
    "sum": reduced(torch.sum),
    "mean": reduced(torch.mean),
    "prod": product,
    "max": reduced(torch.amax),
    "min": reduced(torch.amin),
    "variance": reduced(torch.var, unbiased=False),
    "argmax": lambda x, axis: torch.argmax(x, axis),
    "argmin": lambda x, axis: torch.argmin(x, axis),
    "logSumExp": lambda x, axis, keepDims=False: torch.logsumexp(x, axis, keepDims),
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "logSoftmax": lambda x, axis: torch.log_softmax(x, axis),
    "cumsum": lambda x, axis: torch.cumsum(x, axis),
    "cumprod": lambda x, axis: torch.cumprod(x, axis),
    "layerNorm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "layerNormAffine": lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias),
    "matmul": torch.matmul,
    "matmulOfVectors": torch.matmul,
    "reshape": lambda x, shape: torch.reshape(x, shape),
    "permute": lambda x, order: torch.permute(x, order),
    "slice": sliced,
    "sliceBySteps": sliced,
    "concat": lambda *list_, axis: torch.cat(list_, axis),
    "stack": lambda *list_, axis: torch.stack(list_, axis),
    "pad": lambda x, widths: F.pad(x, [width for pair in reversed(widths) for width in pair]),
    "expand": lambda x, shape: torch.broadcast_to(x, shape),
    "flip": lambda x, axes_: torch.flip(x, axes_),
    "take": lambda x, index, axis: torch.index_select(x, axis, index),
    "gather": lambda x, index, axis: torch.gather(x, axis, index.long()),
    "scatterAdd": lambda x, index, source, axis: torch.scatter_add(x, axis, index.long(), source),
    "where": torch.where,
    "conv2d": convolution,
    "conv2dOfGroups": convolution,
    "conv1d": lambda x, weight, **more: F.conv1d(x, weight, **more),
    "conv1dOfGroups": lambda x, weight, **more: F.conv1d(x, weight, **more),
    "convTranspose1d": lambda x, weight, **more: F.conv_transpose1d(x, weight, **more),
    "convTranspose2d": lambda x, weight, **more: F.conv_transpose2d(x, weight, **more),
    "convTranspose2dOfGroups": lambda x, weight, **more: F.conv_transpose2d(x, weight, **more),
    "batchNorm": lambda x, mean, variance, weight, bias: F.batch_norm(x, mean, variance, weight, bias),
    "batchNormTraining": lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
    "maxPool2d": lambda x, size, stride: F.max_pool2d(x, size, stride),
    "maxPool2dPadded": lambda x, size, stride, padding: F.max_pool2d(x, size, stride, padding),
    "avgPool2d": lambda x, size, stride: F.avg_pool2d(x, size, stride),
    "avgPool2dPadded": lambda x, size, stride, padding: F.avg_pool2d(x, size, stride, padding),
})

device = sys.argv[1]
try:
    torch.zeros(1, device=device)
except Exception as error:
    say(refused=str(error))
    os._exit(0)

def tensor(given):
    dtype, code = DTYPES[given["dtype"]]
    numbers = array.array(code)
    numbers.frombytes(base64.b64decode(given["data"]))
    return torch.tensor(numbers.tolist(), dtype=dtype, device=device).reshape(given["shape"])

def plain(result):
    if result.dtype == torch.int64:
        result = result.int()
    name = next((name for name, (dtype, _) in DTYPES.items() if dtype == result.dtype), None)
    if name is None:
        raise TypeError("the result is of " + str(result.dtype))
    numbers = array.array(DTYPES[name][1], result.detach().reshape(-1).tolist())
    return {"shape": list(result.shape), "dtype": name, "data": base64.b64encode(numbers.tobytes()).decode()}

def values(steps, given):
    known = list(given)
    for step in steps:
        told = {NAMES.get(key, key): value for key, value in step.get("with", {}).items()}
        known.append(OPERATIONS[step["op"]](*[known[n] for n in step["of"]], **told))
    return known

# Outputs, gradients and second derivatives of a request's program.
def once(request, inputs, cotangents, directions):
    def f(*moved):
        given = list(inputs)
        for n, x in zip(request["gradient"]["of"] if moved else [], moved):
            given[n] = x
        known = values(request["steps"], given)
        return tuple(known[n] for n in request["outputs"])
    if "gradient" not in request:
        return f(), (), ()
    point = tuple(inputs[n] for n in request["gradient"]["of"])
    if not directions:
        return (*vjp(f, point, cotangents), ())
    first = lambda *moved: vjp(f, moved, cotangents, create_graph=True)[1]
    return (f(*point), *vjp(first, point, directions))

def answer(request):
    inputs = [tensor(one) for one in request["inputs"]]
    gradient = request.get("gradient", {})
    cotangents = tuple(tensor(one) for one in gradient.get("cotangents", []))
    directions = tuple(tensor(one) for one in gradient.get("directions", []))
    if "updates" not in request:
        outputs, slopes, seconds = once(request, inputs, cotangents, directions)
        return {"outputs": outputs, "gradients": slopes, "seconds": seconds}
    updates, found = request["updates"], []
    for _ in range(updates["times"]):
        outputs, slopes, _ = once(request, inputs, cotangents, ())
        found += outputs
        known = values(updates["steps"], [*values(request["steps"], inputs), *slopes])
        with torch.no_grad():
            for one in updates["next"]:
                inputs[one["input"]].copy_(known[one["value"]])
    return {"outputs": [*found, *(inputs[one["input"]] for one in updates["next"])]}

say(version=torch.__version__, operations=list(OPERATIONS))
while True:
    request = json.loads(lines.get())
    try:
        say(id=request["id"], **{key: [plain(x) for x in list_] for key, list_ in answer(request).items()})
    except Exception as error:
        say(id=request["id"], refused=type(error).__name__ + ": " + str(error))
`;
