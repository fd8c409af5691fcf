/** Which of the hierarchy's contrasts a loss has (Dong et al., AAAI 2023, eqs. 2 to 6). */

/** Levels of contrast, which can be left out one by one; the domain level is the two crossed parts. */
export type ContrastLevel = "clip" | "part" | "domain" | "instance";
/** The four levels of the hierarchical loss. */
export const CONTRAST_LEVELS: readonly ContrastLevel[] = ["clip", "part", "domain", "instance"];
