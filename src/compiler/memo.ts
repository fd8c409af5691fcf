/** A map, or a weak one. */
interface Known<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): unknown;
}

/** The value that is known under a key, made where there is none. */
export function getOrCompute<K, V>(known: Known<K, V>, key: K, make: (key: K) => V): V {
  let value = known.get(key);
  if (value === undefined) known.set(key, (value = make(key)));
  return value;
}

/** A function that computes once what it is asked for again. */
export function memo<K, V>(known: Known<K, V>, make: (key: K) => V): (key: K) => V {
  return (key) => getOrCompute(known, key, make);
}
