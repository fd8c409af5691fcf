"""HiCo pretraining steps in PyTorch, told what to do by lines of JSON: the peer of bench/hico-step.ts and of the battery.

The model is that of src/hico under the same parameter names (Dong et al., AAAI 2023, arXiv 2212.02082), written with
PyTorch's own layers. Each line of standard input is a request, each line of standard output its answer:

    {"do": "hello"}       -> {"torch": version, "cuda": whether there is a GPU, "gpu": its name, "modes": {...}}
                             modes: "eager", "compile" and "graphs", each "" or why it cannot be had
    {"do": "open", "encoder": "gru", "hidden": 128, "queue": 2048, "state": "weights.pth", "batch": "batch.pth",
     "threads": 2, "device": "cpu", "dropout": 0.1, "mode": "eager"}
                          -> {"torch": version, "threads": 2, "first": ms that compiling or capturing took}
                             mode "compile" is torch.compile, "graphs" the whole step as one CUDA graph; without
                             "mode" it is eager, without "dropout" 0.1
    {"do": "loss"}        -> {"loss": x}     without dropout, in eager mode; nothing is updated
    {"do": "losses", "count": 3}
                          -> {"losses": [...]}     of steps in the mode that was opened
    {"do": "steps", "count": 3, "each": 1}
        -> {"ms": [...], "cpu": ms a step, "loss": x, "peak": bytes}
                                          count samples of a step's time, each the mean of some steps

A request that cannot be met is answered by {"error": why}. Needs Debian's python3-torch (1.13 or later).
"""
import json
import resource
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("no torch")
from torch import nn
from torch.nn import functional as F

LEVELS = 4
PARTS = ("c", "p", "t", "s", "i")


class DepthwiseConv(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dw_conv = nn.Conv1d(width, width, 5, stride=1, padding=2, groups=width)


class Downsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = DepthwiseConv(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        y = self.conv.dw_conv(x.transpose(1, 2)).transpose(1, 2)
        return F.max_pool1d(F.relu(self.norm(y)).transpose(1, 2), 2).transpose(1, 2)


class TransformerEncoder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(width, 4, width, 0.1, batch_first=True)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def sequence_encoder(name, width):
    if name == "transformer":
        return TransformerEncoder(width)
    kind = {"gru": nn.GRU, "lstm": nn.LSTM}[name]
    return kind(width, width // 2, batch_first=True, bidirectional=True)


def embedding(features, width):
    return nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))


def head(features, width, projection=128):
    return nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, projection))


class HierarchicalEncoder(nn.Module):
    def __init__(self, encoder, width, temporal_input, spatial_input):
        super().__init__()
        self.t_embedding = embedding(temporal_input, width)
        self.s_embedding = embedding(spatial_input, width)
        self.t_downsample = Downsample(width)
        self.s_downsample = Downsample(width)
        self.t_encoder = sequence_encoder(encoder, width)
        self.s_encoder = sequence_encoder(encoder, width)

    @staticmethod
    def domain(x, embed, downsample, encoder):
        level = embed(x)
        vectors = []
        for depth in range(LEVELS):
            if depth > 0:
                level = downsample(level)
            y = encoder(level)
            y = y[0] if isinstance(y, tuple) else y
            vectors.append(y.max(dim=1)[0])
        return torch.stack(vectors, dim=1)

    def forward(self, temporal, spatial):
        clip = self.domain(temporal, self.t_embedding, self.t_downsample, self.t_encoder)
        part = self.domain(spatial, self.s_embedding, self.s_downsample, self.s_encoder)
        return clip, part


class Network(nn.Module):
    def __init__(self, encoder, width, temporal_input, spatial_input):
        super().__init__()
        self.hi_encoder = HierarchicalEncoder(encoder, width, temporal_input, spatial_input)
        self.clip_proj = head(width, width)
        self.part_proj = head(width, width)
        self.td_proj = head(LEVELS * width, width)
        self.sd_proj = head(LEVELS * width, width)
        self.instance_proj = head(2 * LEVELS * width, width)

    def forward(self, temporal, spatial):
        clip, part = self.hi_encoder(temporal, spatial)
        t, s = clip.flatten(1), part.flatten(1)
        outputs = (self.clip_proj(clip), self.part_proj(part), self.td_proj(t), self.sd_proj(s),
                   self.instance_proj(torch.cat([t, s], dim=1)))
        return [F.normalize(z, dim=-1) for z in outputs]


class HiCo(nn.Module):
    def __init__(self, encoder, width, queue, temporal_input, spatial_input,
                 projection=128, temperature=0.2, momentum=0.999):
        super().__init__()
        self.temperature, self.momentum = temperature, momentum
        self.encoder_q = Network(encoder, width, temporal_input, spatial_input)
        self.encoder_k = Network(encoder, width, temporal_input, spatial_input)
        for p in self.encoder_k.parameters():
            p.requires_grad = False
        for part in PARTS:
            size = LEVELS * queue if part in "cp" else queue
            self.register_buffer(f"{part}_queue", torch.zeros(projection, size))
            self.register_buffer(f"{part}_queue_ptr", torch.zeros(1, dtype=torch.long))

    def queue(self, part):
        return getattr(self, f"{part}_queue")

    @torch.no_grad()
    def move_keys(self):
        for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            k.mul_(self.momentum).add_(q, alpha=1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, part, keys):
        queue, pointer = self.queue(part), getattr(self, f"{part}_queue_ptr")
        columns = (torch.arange(keys.shape[0], device=keys.device) + pointer) % queue.shape[1]
        queue[:, columns] = keys.T
        pointer[0] = (pointer[0] + keys.shape[0]) % queue.shape[1]

    def contrast(self, q, k, queue):
        """q [N, C]; k [N, P, C] positives, whose probabilities add up."""
        positives = torch.einsum("nc,npc->np", q, k)
        logits = torch.cat([positives, q @ queue], dim=1) / self.temperature
        return (torch.logsumexp(logits, 1) - torch.logsumexp(logits[:, :k.shape[1]], 1)).mean()

    def forward(self, batch, update):
        if update:
            self.move_keys()
        qc, qp, qt, qs, qi = self.encoder_q(batch["queryTemporal"], batch["querySpatial"])
        with torch.no_grad():
            keys = self.encoder_k(batch["keyTemporal"], batch["keySpatial"])
        kc, kp, kt, ks, ki = keys
        negatives = {part: self.queue(part).clone() for part in PARTS}
        loss = (self.contrast(qc[:, 0], kc, negatives["c"]) + self.contrast(qp[:, 0], kp, negatives["p"])
                + self.contrast(qt, ks.unsqueeze(1), negatives["s"])
                + self.contrast(qs, kt.unsqueeze(1), negatives["t"])
                + self.contrast(qi, ki.unsqueeze(1), negatives["i"]))
        if update:
            for part, z in zip(PARTS, keys):
                self.enqueue(part, z.reshape(-1, z.shape[-1]))
        return loss


def modes():
    cuda = torch.cuda.is_available()
    return {
        "eager": "",
        "compile": "" if hasattr(torch, "compile") else f"torch.compile needs PyTorch 2, this is {torch.__version__}",
        "graphs": "" if cuda else "CUDA graphs need a GPU of NVIDIA's",
    }


class Session:
    def hello(self, _):
        cuda = torch.cuda.is_available()
        name = torch.cuda.get_device_name() if cuda else ""
        return {"torch": torch.__version__, "cuda": cuda, "gpu": name, "modes": modes()}

    def open(self, request):
        mode = request.get("mode", "eager")
        if modes()[mode]:
            raise RuntimeError(modes()[mode])
        torch.set_num_threads(request["threads"])
        torch.manual_seed(0)
        # Float32 on both sides.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        device = request["device"]
        self.dropout = request.get("dropout", 0.1)
        self.batch = {name: value.to(device) for name, value in torch.load(request["batch"]).items()}
        inputs = (self.batch["queryTemporal"].shape[2], self.batch["querySpatial"].shape[2])
        self.model = HiCo(request["encoder"], request["hidden"], request["queue"], *inputs)
        state = torch.load(request["state"])
        self.model.load_state_dict(state)
        self.model.to(device)
        self.optimizer = torch.optim.SGD(self.model.encoder_q.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.model.train()
        self.set_dropout(self.dropout)
        start = time.perf_counter()
        self.step = {"eager": self.eager, "compile": self.compiled, "graphs": self.captured}[mode]()
        if mode != "eager":
            self.begin_again(state)
        return {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "first": 1e3 * (time.perf_counter() - start),
        }

    def eager(self, model=None):
        model = self.model if model is None else model

        def step():
            self.optimizer.zero_grad(set_to_none=True)
            loss = model(self.batch, update=True)
            loss.backward()
            self.optimizer.step()
            return loss.detach()

        return step

    def compiled(self):
        step = self.eager(torch.compile(self.model))
        for _ in range(2):
            float(step())
        return step

    def captured(self):
        """The step as one graph over tensors that stay where they are; warmed up on a stream of its own, as PyTorch asks."""
        step = self.eager()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            loss = step()

        def replay():
            self.graph.replay()
            return loss

        return replay

    def begin_again(self, state):
        """Takes back the steps that compiling and capturing took, in the same memory."""
        self.model.load_state_dict(state)
        for kept in self.optimizer.state.values():
            for value in kept.values():
                if isinstance(value, torch.Tensor):
                    value.zero_()

    def loss(self, _):
        self.set_dropout(0.0)
        with torch.no_grad():
            loss = float(self.model(self.batch, update=False))
        self.set_dropout(self.dropout)
        return {"loss": loss}

    def losses(self, request):
        return {"losses": [float(self.step()) for _ in range(request["count"])]}

    def set_dropout(self, p):
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = p
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = p

    def steps(self, request):
        times = []
        used = time.process_time()
        for _ in range(request["count"]):
            start = time.perf_counter()
            for _ in range(request["each"]):
                loss = self.step()
            value = float(loss)
            times.append(1e3 * (time.perf_counter() - start) / request["each"])
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = 1e3 * (time.process_time() - used) / len(times) / request["each"]
        return {"ms": times, "cpu": cpu, "loss": value, "peak": peak}


def main():
    session = Session()
    answers = {
        "hello": session.hello,
        "open": session.open,
        "loss": session.loss,
        "losses": session.losses,
        "steps": session.steps,
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = answers[request["do"]](request)
        except Exception as error:  # told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
