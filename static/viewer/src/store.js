/**
 * Where the browser keeps unsent answers and drafts: IndexedDB, else localStorage, else memory
 * (private windows of some browsers), and then the page says so.
 */

/**
 * @typedef {"answers"|"drafts"} Shelf
 * @typedef {object} Store
 * @property {"indexeddb"|"localstorage"|"memory"} kind
 * @property {(shelf: Shelf) => Promise<any[]>} all
 * @property {(shelf: Shelf, id: string) => Promise<any>} get
 * @property {(shelf: Shelf, id: string, value: any) => Promise<void>} put
 * @property {(shelf: Shelf, id: string) => Promise<void>} remove
 */

const NAME = "readerstudy";

/** @returns {Promise<Store>} */
export async function openStore() {
  try {
    return indexedStore(await openDatabase());
  } catch {
    return localStore() ?? memoryStore();
  }
}

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("answers");
      request.result.createObjectStore("drafts");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}

/** @param {IDBDatabase} db @returns {Store} */
function indexedStore(db) {
  /**
   * @param {Shelf} shelf @param {IDBTransactionMode} mode
   * @param {(s: IDBObjectStore) => IDBRequest} act
   */
  const run = (shelf, mode, act) =>
    new Promise((resolve, reject) => {
      // strict: an answer is on the disk, not only in the system's buffers, before we call it kept
      const tx = db.transaction(shelf, mode, { durability: "strict" });
      const request = act(tx.objectStore(shelf));
      tx.oncomplete = () => resolve(request.result);
      tx.onerror = tx.onabort = () => reject(tx.error);
    });
  return {
    kind: "indexeddb",
    all: (shelf) => run(shelf, "readonly", (s) => s.getAll()),
    get: (shelf, id) => run(shelf, "readonly", (s) => s.get(id)),
    put: (shelf, id, value) => run(shelf, "readwrite", (s) => s.put(value, id)),
    remove: (shelf, id) => run(shelf, "readwrite", (s) => s.delete(id)),
  };
}

/** @returns {Store | null} null where the browser refuses to keep anything */
export function localStore(storage = safeLocalStorage()) {
  if (!storage) return null;
  const prefix = (/** @type {Shelf} */ shelf) => `${NAME}.${shelf}.`;
  return {
    kind: "localstorage",
    async all(shelf) {
      const found = [];
      for (let i = 0; i < storage.length; i++) {
        const key = storage.key(i);
        if (key?.startsWith(prefix(shelf))) found.push(JSON.parse(storage.getItem(key) ?? "null"));
      }
      return found.filter(Boolean);
    },
    async get(shelf, id) {
      return JSON.parse(storage.getItem(prefix(shelf) + id) ?? "null") ?? undefined;
    },
    async put(shelf, id, value) {
      storage.setItem(prefix(shelf) + id, JSON.stringify(value));
    },
    async remove(shelf, id) {
      storage.removeItem(prefix(shelf) + id);
    },
  };
}

function safeLocalStorage() {
  try {
    localStorage.setItem(`${NAME}.probe`, "1");
    localStorage.removeItem(`${NAME}.probe`);
    return localStorage;
  } catch {
    return null;
  }
}

/** @returns {Store} */
export function memoryStore() {
  /** @type {Record<Shelf, Map<string, any>>} */
  const shelves = { answers: new Map(), drafts: new Map() };
  return {
    kind: "memory",
    all: async (shelf) => [...shelves[shelf].values()],
    get: async (shelf, id) => shelves[shelf].get(id),
    put: async (shelf, id, value) => void shelves[shelf].set(id, structuredClone(value)),
    remove: async (shelf, id) => void shelves[shelf].delete(id),
  };
}
