/** Activations as modules, for `Sequential` and for state names that count them (torch.nn). */
import { requireTensor } from "../../tensor/door/door.ts";
import { elu, glu, hardSigmoid, hardSwish, leakyRelu, mish } from "../../ops/arrays/index.ts";
import { logSoftmax, softmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";

/** max(x, 0) (torch.nn.ReLU). */
export class ReLU extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("ReLU", "x", x);
    return x.relu();
  }
}
/** x for x > 0, else slope·x (torch.nn.LeakyReLU). */
export class LeakyReLU extends Module {
  readonly #slope: number;
  constructor(slope = 0.01) {
    super();
    this.#slope = slope;
  }
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.#slope);
  }
}
/** x for x > 0, else α·(eˣ − 1) (torch.nn.ELU). */
export class ELU extends Module {
  readonly #alpha: number;
  /** @param alpha α: far below 0 the result is −α. Default 1. */
  constructor(alpha = 1) {
    super();
    this.#alpha = alpha;
  }
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return elu(x, this.#alpha);
  }
}
/** x·Φ(x) (torch.nn.GELU). */
export class GELU extends Module {
  readonly #approximate: "none" | "tanh";
  /** @param approximate `"tanh"`: PyTorch's approximation of Φ; `"none"`, the default, is exact. */
  constructor(approximate: "none" | "tanh" = "none") {
    super();
    this.#approximate = approximate;
  }
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("GELU", "x", x);
    return x.gelu(this.#approximate);
  }
}
/** x·sigmoid(x) (torch.nn.SiLU). */
export class SiLU extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("SiLU", "x", x);
    return x.silu();
  }
}
/** x·tanh(softplus(x)) (torch.nn.Mish). */
export class Mish extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return mish(x);
  }
}
/** torch.nn.Hardswish. */
export class HardSwish extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return hardSwish(x);
  }
}
/** torch.nn.Hardsigmoid. */
export class HardSigmoid extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return hardSigmoid(x);
  }
}
/** 1 / (1 + e⁻ˣ) (torch.nn.Sigmoid). */
export class Sigmoid extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("Sigmoid", "x", x);
    return x.sigmoid();
  }
}
/** torch.nn.Tanh. */
export class Tanh extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("Tanh", "x", x);
    return x.tanh();
  }
}
/** log(1 + eˣ) (torch.nn.Softplus). */
export class Softplus extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    requireTensor("Softplus", "x", x);
    return x.softplus();
  }
}

abstract class AlongAxis extends Module {
  protected readonly axis: number;
  /** @param axis default the last */
  constructor(axis = -1) {
    super();
    this.axis = axis;
  }
}
/** The first half of an axis times the sigmoid of the second (torch.nn.GLU). */
export class GLU extends AlongAxis {
  /** x [..., 2n, ...] → [..., n, ...] along the axis. */
  forward(x: Tensor): Tensor {
    return glu(x, this.axis);
  }
}
/** torch.nn.Softmax. */
export class Softmax extends AlongAxis {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return softmax(x, this.axis);
  }
}
/** torch.nn.LogSoftmax. */
export class LogSoftmax extends AlongAxis {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.axis);
  }
}
/** The same value (torch.nn.Identity). */
export class Identity extends Module {
  /** x of any shape → the same shape. */
  forward(x: Tensor): Tensor {
    return x;
  }
}
