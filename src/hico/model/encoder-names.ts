/** Names of encoders, apart from what they name: settings and help are read without any network. */

/** The encoders that come with the package, by name. */
export const ENCODER_NAMES = ["gru", "lstm", "transformer"] as const;

/** The name of an encoder, see `ENCODER_NAMES`. */
export type EncoderName = (typeof ENCODER_NAMES)[number];
