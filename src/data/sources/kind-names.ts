/** The names of the kinds of raw input: what a user writes, and what each is called in words. */

export const SOURCE_KINDS = [
  ...(["nw-ucla", "utd-mhad", "sbu", "ntu60", "ntu120", "pku-mmd", "npy", "csv"] as const),
  ...(["msr-action3d", "st-gcn", "ctr-gcn", "pyskl", "bvh", "smpl"] as const),
  ...(["openpose", "kinetics-skeleton", "mediapipe", "azure-kinect", "trc", "c3d", "utkinect"] as const),
] as const;
/** A kind of raw data, see `SOURCE_KINDS`. */
export type SourceKind = (typeof SOURCE_KINDS)[number];

/** The words for a kind. */
export const KIND_TITLES: Readonly<Record<SourceKind, string>> = {
  "nw-ucla": "NW-UCLA",
  "utd-mhad": "UTD-MHAD",
  sbu: "SBU Kinect Interaction",
  ntu60: "NTU RGB+D 60",
  ntu120: "NTU RGB+D 120",
  "pku-mmd": "PKU-MMD",
  npy: "npy files",
  csv: "CSV recordings",
  "msr-action3d": "MSR-Action3D",
  "st-gcn": "ST-GCN's npy and pkl",
  "ctr-gcn": "CTR-GCN's npz",
  pyskl: "PySKL's pkl",
  bvh: "BVH motion capture",
  smpl: "joints of a motion in npy",
  openpose: "OpenPose's JSON",
  "kinetics-skeleton": "Kinetics-skeleton's JSON",
  mediapipe: "MediaPipe's landmarks",
  "azure-kinect": "Azure Kinect's JSON",
  trc: "TRC markers",
  c3d: "C3D markers",
  utkinect: "UTKinect-Action3D",
};
