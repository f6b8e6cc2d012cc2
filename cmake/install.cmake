# What `cmake --install` puts in place: the library, its header, and what pkg-config and find_package(tin) read.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TIN_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tin)
install(TARGETS tin EXPORT tinTargets)
install(FILES kernels/include/tin.h TYPE INCLUDE)
install(EXPORT tinTargets NAMESPACE tin:: DESTINATION ${TIN_PACKAGE_DIR})

configure_package_config_file(cmake/tinConfig.cmake.in tinConfig.cmake INSTALL_DESTINATION ${TIN_PACKAGE_DIR})
write_basic_package_version_file(tinConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tinConfig.cmake ${PROJECT_BINARY_DIR}/tinConfigVersion.cmake
        DESTINATION ${TIN_PACKAGE_DIR})

# From the .pc file to the prefix, so that the installed tree may be moved.
string(REGEX REPLACE "[^/]+" ".." TIN_PC_PREFIX ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
configure_file(cmake/tin.pc.in tin.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tin.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
