/* jni_values.h: values of Java as those of tin_host.h, and back. Each function raises a Java exception where it fails. */
#ifndef TIN_JNI_VALUES_H
#define TIN_JNI_VALUES_H

#include "tin_host.h"

#include <jni.h>
#include <stdlib.h>
#include <string.h>

static inline int raised(JNIEnv *env) {
    return (*env)->ExceptionCheck(env);
}

static inline void *no_memory(JNIEnv *env) {
    jclass kind = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
    if (kind)
        (*env)->ThrowNew(env, kind, "there is no memory for a text");
    return NULL;
}

/* UTF-8 bytes to a text that ends with a NUL, for free(); NULL for null. */
static inline char *text_in(JNIEnv *env, jbyteArray bytes) {
    if (!bytes || raised(env))
        return NULL;
    jsize length = (*env)->GetArrayLength(env, bytes);
    char *text = malloc((size_t)length + 1);
    if (!text)
        return no_memory(env);
    (*env)->GetByteArrayRegion(env, bytes, 0, length, (jbyte *)text);
    text[length] = 0;
    return text;
}

/* null for NULL. */
static inline jbyteArray text_out(JNIEnv *env, const char *text) {
    if (!text || raised(env))
        return NULL;
    jsize length = (jsize)strlen(text);
    jbyteArray bytes = (*env)->NewByteArray(env, length);
    if (bytes)
        (*env)->SetByteArrayRegion(env, bytes, 0, length, (const jbyte *)text);
    return bytes;
}

/* Where a direct buffer lies, and how many bytes it has; Native is given no other. */
static inline void *block(JNIEnv *env, jobject buffer, int64_t *bytes) {
    if (!buffer || raised(env))
        return NULL;
    *bytes = (*env)->GetDirectBufferCapacity(env, buffer);
    return (*env)->GetDirectBufferAddress(env, buffer);
}

#endif
