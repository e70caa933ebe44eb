/**
 * The shapes that travel between the server, the modules of this bundle and the browser's store.
 * Nothing that a reader's page gets can say whether a tumor is real. `Review` can: the server hands
 * it out for an unblinded trial, to its analysts, on a page of its own.
 *
 * @typedef {{name: string, center: number, width: number}} WindowPreset
 * @typedef {{value: number, label: string, key: string}} ScaleStep
 * @typedef {{value: string, label: string}} Cue
 *
 * @typedef {object} Config
 * @property {string} api            base URL of the reading API, no slash at the end
 * @property {string} csrf
 * @property {string} reader         opaque, stable per reader; keeps two readers of one computer apart
 * @property {string} question
 * @property {ScaleStep[]} scale
 * @property {WindowPreset[]} windows
 * @property {{mpr: boolean, length: boolean, hu: boolean}} tools
 * @property {"box"|"none"} guideMarker
 * @property {boolean} askCues
 * @property {Cue[]} cues
 * @property {boolean} allowComment
 * @property {"auto"|"cpu"|"gpu"} rendering
 * @property {string} exitUrl
 * @property {string} pauseUrl
 * @property {string} signInUrl
 *
 * @typedef {object} CaseImage
 * @property {number} rows
 * @property {number} columns
 * @property {[number, number]} pixelSpacing  row and column spacing in mm
 * @property {number} sliceSpacing            mm
 * @property {number} bitsAllocated
 * @property {number} pixelRepresentation
 * @property {number} padding                 HU of what lies outside the scanned field
 * @property {number} [rescaleSlope]
 * @property {number} [rescaleIntercept]
 *
 * @typedef {[[number, number], [number, number], [number, number]]} Box  half-open voxel ranges x, y, z
 *
 * @typedef {object} Draft
 * @property {number|null} rating
 * @property {string} comment
 * @property {string[]} cues
 * @property {string} at           ISO time of the last change
 * @property {object} [record]     what `CaseRecord.save()` gave
 * @property {object} [clock]      what `CaseClock.save()` gave
 *
 * @typedef {object} Case
 * @property {string} token
 * @property {string} phase
 * @property {number} position
 * @property {number} total
 * @property {string} organ
 * @property {{count: number, url: string}} frames
 * @property {CaseImage} image
 * @property {{box: Box}|null} marker
 * @property {number} startSlice
 * @property {WindowPreset[]} windows
 * @property {Draft|null} draft
 *
 * @typedef {object} Worklist
 * @property {string} state
 * @property {number} answered
 * @property {number} total
 * @property {string} phase
 * @property {Case|null} current
 * @property {Case|null} ahead
 * @property {string|null} redirect
 *
 * @typedef {object} Answer         body of POST judgments
 * @property {string} client_uuid
 * @property {string} token
 * @property {number} rating
 * @property {string} comment
 * @property {string[]} cues
 * @property {object} client
 *
 * @typedef {{box: Box, bits: string}} PackedOutline  voxels of the box, z, y, x, eight a byte, base64
 *
 * @typedef {object} Given          one reader's answer to a case under review
 * @property {string} reader
 * @property {number} rating
 * @property {string} label
 * @property {boolean} wrong
 * @property {boolean} repeat       a second reading, which does not count
 * @property {number|null} seconds
 * @property {string} note          cues and comment, as given
 *
 * @typedef {object} Review         what the review page gets
 * @property {Case} case
 * @property {PackedOutline|null} outline
 * @property {string} name
 * @property {string} truth         as a heading: "Synthetic", "Real"
 * @property {boolean} made          is it a synthetic one?
 * @property {string} summary       how the readers took it, in a sentence
 * @property {[string, string][]} facts
 * @property {Given[]} ratings
 * @property {string[]} scale       labels of the ratings 1 to 6
 * @property {{mpr: boolean, length: boolean, hu: boolean}} tools
 * @property {"auto"|"cpu"|"gpu"} rendering
 * @property {string} listUrl
 * @property {string} previousUrl   empty: there is none
 * @property {string} nextUrl
 * @property {string} place         "3 of 40"
 *
 * @typedef {{number: number, organ: string, diameter: string, volume: string, probability: string, center: string, outline: PackedOutline}} Finding
 *
 * @typedef {object} Findings       what the page of a network's findings gets: coordinators alone
 * @property {Case} case
 * @property {Finding[]} findings
 * @property {number} left          how many more there are without an outline
 * @property {number} first         the number of the finding to begin with
 * @property {string} name
 * @property {string} place
 * @property {string} network
 * @property {string} sha256
 * @property {{mpr: boolean, length: boolean, hu: boolean}} tools
 * @property {"auto"|"cpu"|"gpu"} rendering
 * @property {[string, string][]} downloads  words and address
 * @property {string} listUrl
 * @property {string} previousUrl   empty: there is none
 * @property {string} nextUrl
 *
 * @typedef {"axial"|"coronal"|"sagittal"} Plane
 * @typedef {[number, number]} Point
 * @typedef {[number, number, number]} Voxel   continuous index x, y, z; whole numbers are voxel centers
 */

export {};
