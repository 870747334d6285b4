// What the inputs of a run hold.
#pragma once

#include "runner/capsule.h"
#include "runner/session.h"

namespace fdabnn::runner {

// Images per run: the first size of the first input.
std::size_t Batch(const Session& session);

// Throws Failure (refused) where the capsule's inputs or outputs are not the model's.
void CheckFits(const Session& session, const Capsule& capsule, const std::string& name);

// Writes the images first, first + 1, ... of the capsule, zeros behind its last one. The capsule has to fit.
void FillFrom(const Capsule& capsule, std::size_t first, Session* session);

// Writes the same pseudo-random values on every device: floats are uniform in [-1, 1), bytes uniform, booleans 0 or 1, and integers, which
// may be indices, 0. A number is the output of splitmix64 from the state 0, one per value, input after input; a float its upper 24 bits.
void FillGenerated(Session* session);

}  // namespace fdabnn::runner
