/**
 * Where a maximum starts: below every finite score, and finite itself, so that differences of two of them are 0 and not
 * NaN as with −∞, and shaders, which may assume that there are no infinities, may write it.
 */
export const LOWEST = -3.4e38;
