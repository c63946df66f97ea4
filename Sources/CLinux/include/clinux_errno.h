// SPDX-License-Identifier: Apache-2.0
//
// The words for an errno value. Swift's Glibc module hides them (they are GNU extensions), and strerror is not thread-safe.
#pragma once

/// "Device or resource busy", or NULL for a number without words. A constant of the C library.
const char *clinux_errno_words(int code);

/// "EBUSY", or NULL for a number without a name. A constant of the C library.
const char *clinux_errno_name(int code);
